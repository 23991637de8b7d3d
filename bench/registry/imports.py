"""What it takes to register very many peers at once, as an operator does it: `peer import`."""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from api.bootstrap import init
from bench import population, seed
from bench.registry.measure import Database, Size, database
from bench.registry.service import admin_of, sent, serving
from bench.rows import Row
from bench.site import gateway_address
from lab.netns import LabError


def imports(size: Size, which: Database) -> Row:
    """A row of `import`: approved peers into an empty registry, then all of them out again."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="peergate-bench-")))
        settings = stack.enter_context(database(which, directory))
        token = init(settings).token
        assert token is not None
        (api,) = stack.enter_context(serving(settings, directory, 1))
        admin = stack.enter_context(admin_of(api, token))
        body = {"name": seed.GATEWAY, "addresses": [gateway_address(4)], "services": ["wireguard"]}
        sent(admin.post("/v1/gateways", json={**body, "mode": "monitor"}))
        file = directory / "peers.ndjson"
        with file.open("w") as lines:
            for number, source in enumerate(seed.sources(population.populate(4, size.many)), 1):
                peer = {**seed.REST, "name": f"site-{number}", "sources": [source]}
                lines.write(json.dumps(peer) + "\n")
        before, _ = api.mib()
        spent = api.cpu_seconds()
        taken = _peer(api.url, token, "import", "-f", str(file), "--state", "approved", "--yes")
        spent = api.cpu_seconds() - spent
        _, peak = api.mib()
        given = _peer(api.url, token, "export", "-o", str(directory / "out.ndjson"))
        return {
            "bench": "import",
            "database": which,
            "peers": size.many,
            "import_s": round(taken, 1),
            "peers_per_s": round(size.many / taken),
            # The rest is PostgreSQL's, and the client's.
            "api_cpu_s": round(spent, 1),
            "registry_before_mib": round(before),
            "registry_peak_mib": round(peak),
            "export_s": round(given, 1),
        }


def _peer(url: str, token: str, *words: str) -> float:
    """Seconds that `peergate peer ...` takes."""
    command = [str(Path(sys.executable).with_name("peergate")), "peer", *words]
    environ = {**os.environ, "PEERGATE_URL": url, "PEERGATE_TOKEN": token}
    began = time.monotonic()
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"peergate peer {words[0]}: {done.stderr[-500:]}")
    return time.monotonic() - began
