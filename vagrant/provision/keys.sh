#!/usr/bin/env bash
# keys.sh, on the host: the keys of gateway, branch and stranger, those that are not there yet.
# A directory for each machine in ../keys, which Git ignores: its own private keys, and what it
# must know of the others. To have new keys, delete ../keys, then vagrant reload --provision.
# In life a private key is made where it is used, and never leaves that machine.
set -euo pipefail
umask 077
mkdir -p "$(dirname "$0")/../keys"
cd "$(dirname "$0")/../keys"

clients=(branch stranger)

for machine in gateway "${clients[@]}"; do
	mkdir -p "$machine/peers"
	if [[ ! -s $machine/wireguard.key ]]; then
		# A WireGuard key is 32 bytes of Curve25519: the last ones of what OpenSSL writes.
		openssl genpkey -algorithm X25519 -outform DER -out "$machine/x25519.der"
		openssl pkey -inform DER -in "$machine/x25519.der" -pubout -outform DER |
			tail -c 32 | base64 >"$machine/wireguard.pub"
		tail -c 32 "$machine/x25519.der" | base64 >"$machine/wireguard.key"
		rm "$machine/x25519.der"
	fi
	if [[ ! -s $machine/openvpn.fingerprint ]]; then
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
			-subj "/CN=$machine" -keyout "$machine/openvpn.key" -out "$machine/openvpn.crt" 2>/dev/null
		openssl x509 -noout -fingerprint -sha256 -in "$machine/openvpn.crt" |
			cut -d = -f 2 >"$machine/openvpn.fingerprint"
	fi
done

exchange() { # FROM TO: TO learns FROM's public halves
	mkdir -p "$2/peers/$1"
	cp "$1/wireguard.pub" "$1/openvpn.fingerprint" "$2/peers/$1/"
}
for client in "${clients[@]}"; do
	exchange "$client" gateway
	exchange gateway "$client"
	if [[ ! -s $client/peers/gateway/ipsec.psk ]]; then
		openssl rand -base64 32 >"$client/peers/gateway/ipsec.psk"
	fi
	cp "$client/peers/gateway/ipsec.psk" "gateway/peers/$client/"
done
