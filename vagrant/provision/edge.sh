#!/usr/bin/env bash
# The edge: it forwards, and has peergate from the Debian package in /lab/dist: the registry, and
# the agent, whose XDP program sits on the uplink.
#
# The registry listens on 127.0.0.1 alone. In life it runs elsewhere: then registry_url is the only
# line here that differs.
set -euo pipefail

printf 'net.ipv4.ip_forward = 1\nnet.ipv6.conf.all.forwarding = 1\n' >/etc/sysctl.d/60-edge.conf
sysctl -q -p /etc/sysctl.d/60-edge.conf

# The package
package=$(find /lab/dist -name 'peergate_*.deb' | sort -V | tail -1)
if [[ -z $package ]]; then
	echo "edge.sh: no package in dist: run make deb on the host, then vagrant rsync edge" >&2
	exit 1
fi
stamp=/var/lib/misc/peergate.sha256
if ! sha256sum --quiet --check $stamp &>/dev/null; then
	export DEBIAN_FRONTEND=noninteractive
	dpkg-query -W python3-bpfcc &>/dev/null || apt-get update -q
	apt-get install -q -y --no-install-recommends --reinstall "$package"
	sha256sum "$package" >$stamp
fi

# The registry, and its first admin's token
cp /etc/peergate/api.env.example /etc/peergate/api.env
profile=/root/.profile
if ! grep -qs PEERGATE_TOKEN $profile; then
	token=$(peergate api init)
	printf 'export PEERGATE_URL=http://127.0.0.1:8470 PEERGATE_TOKEN=%s\n' "$token" >>$profile
	chmod 600 $profile
fi
systemctl enable --quiet --now peergate-api

# The agent, with a token of its own. What VirtualBox's cards take was never tried: generic works on any.
attach=native
if [[ $(systemd-detect-virt || true) == oracle ]]; then
	attach=generic
fi
cat >/etc/peergate/agent.toml <<TOML
router = "edge"
interfaces = ["uplink"]
attach = "$attach"
registry_url = "http://127.0.0.1:8470"
token_file = "/etc/peergate/token"
TOML
if [[ ! -s /etc/peergate/token ]]; then
	# shellcheck source=/dev/null
	source $profile
	install -m 0640 -g peergate /dev/null /etc/peergate/token
	peergate token add edge --role agent >/etc/peergate/token
fi
systemctl enable --quiet --now peergate-agent
