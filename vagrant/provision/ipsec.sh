#!/usr/bin/env bash
# strongSwan, IKEv2 with a pre-shared key; the kernel's ESP in tunnel mode, not in UDP:
#   ipsec.sh hub INSIDE CLIENTS NAME...
#   ipsec.sh NAME INSIDE BEHIND ENDPOINT
# INSIDE is the address in the tunnel, CLIENTS and BEHIND are the far side's; ENDPOINT is the
# gateway's address outside.
set -euo pipefail
umask 077

keys=/lab/keys
name=$1 inside=$2 behind=$3
shift 3

conf() {
	if [[ $name == hub ]]; then
		id=gateway far=%any remote=%any start=none dead=clear peers=("$@")
	else
		id=$name far=gateway remote=$1 start='trap|start' dead=restart peers=(gateway)
	fi
	cat <<-CONF
		connections {
		  lab {
		    version = 2
		    mobike = no
		    keyingtries = 0
		    dpd_delay = 5s
		    remote_addrs = $remote
		    proposals = aes256-sha256-modp3072
		    local {
		      auth = psk
		      id = $id
		    }
		    remote {
		      auth = psk
		      id = $far
		    }
		    children {
		      lab {
		        local_ts = $inside/32
		        remote_ts = $behind
		        esp_proposals = aes256gcm16
		        start_action = $start
		        dpd_action = $dead
		      }
		    }
		  }
		}
		secrets {
	CONF
	for peer in "${peers[@]}"; do
		cat <<-CONF
			  ike-$peer {
			    id = $peer
			    secret = 0s$(<"$keys/peers/$peer/ipsec.psk")
			  }
		CONF
	done
	echo "}"
}

# Ask every two seconds, and never give up: a tunnel is up as soon as the edge lets it through.
cat >/etc/strongswan.d/lab.conf <<-CONF
	charon-systemd {
	  retransmit_base = 1
	  retransmit_timeout = 2
	  plugins {
	    kernel-netlink {
	      xfrm_acq_expires = 4
	    }
	  }
	}
CONF
conf "$@" >/etc/swanctl/conf.d/lab.conf
printf '[Match]\nName=lo\n\n[Network]\nAddress=%s/32\n' "$inside" >/etc/systemd/network/20-ipsec.network
chmod 644 /etc/systemd/network/20-ipsec.network
ip address replace "$inside/32" dev lo
systemctl enable --quiet --no-reload strongswan
systemctl restart strongswan
