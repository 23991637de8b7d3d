#!/usr/bin/env bash
# OpenVPN over UDP; certificates signed by themselves, known by their fingerprints:
#   openvpn.sh hub NETWORK/LENGTH NAME...
#   openvpn.sh NAME ENDPOINT
# NETWORK is the one inside the tunnel, ENDPOINT the gateway's address outside.
set -euo pipefail
umask 077

keys=/lab/keys
name=$1 where=$2
shift 2

conf() {
	cat <<-CONF
		dev tun-lab
		dev-type tun
		cert lab.crt
		key lab.key
		data-ciphers AES-256-GCM
		keepalive 2 8
	CONF
	if [[ $name == hub ]]; then
		cat <<-CONF
			proto udp6
			port 1194
			server ${where%/*} 255.255.255.240
			topology subnet
			dh none
		CONF
		peers=("$@")
	else
		cat <<-CONF
			client
			proto udp6
			remote $where 1194
			nobind
			connect-retry 1 2
			connect-timeout 4
		CONF
		peers=(gateway)
	fi
	echo "<peer-fingerprint>"
	for peer in "${peers[@]}"; do
		cat "$keys/peers/$peer/openvpn.fingerprint"
	done
	echo "</peer-fingerprint>"
}

if [[ $name == hub ]]; then
	kind=server
else
	kind=client
fi
conf "$@" >/etc/openvpn/$kind/lab.conf
cp $keys/openvpn.crt /etc/openvpn/$kind/lab.crt
cp $keys/openvpn.key /etc/openvpn/$kind/lab.key
systemctl enable --quiet --no-reload openvpn-$kind@lab
systemctl restart openvpn-$kind@lab
