#!/usr/bin/env bash
# WireGuard, in the kernel:
#   wireguard.sh hub ADDRESS/LENGTH PEER=ADDRESS...
#   wireguard.sh NAME ADDRESS/LENGTH ENDPOINT
# The addresses are inside the tunnel, ENDPOINT is the gateway's outside.
set -euo pipefail
umask 077

keys=/lab/keys
name=$1 inside=$2
shift 2

conf() {
	echo "[Interface]"
	echo "Address = $inside"
	echo "PrivateKey = $(<$keys/wireguard.key)"
	if [[ $name == hub ]]; then
		echo "ListenPort = 51820"
		for peer; do
			printf '\n# %s\n[Peer]\n' "${peer%=*}"
			echo "PublicKey = $(<"$keys/peers/${peer%=*}/wireguard.pub")"
			echo "AllowedIPs = ${peer#*=}/32"
		done
	else
		printf '\n[Peer]\n'
		echo "PublicKey = $(<$keys/peers/gateway/wireguard.pub)"
		echo "Endpoint = $1:51820"
		echo "AllowedIPs = $inside"
		echo "PersistentKeepalive = 5"
	fi
}

conf "$@" >/etc/wireguard/lab.conf
systemctl enable --quiet --no-reload wg-quick@lab
systemctl restart wg-quick@lab
