"""What peergate costs on this machine, beside what else one would take: `make bench`."""
