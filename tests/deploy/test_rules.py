"""Each alert fires for what it is about, for nothing else, and not where all is well."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.expressions import RULES, rules
from tests.scrape import promtool

Series = dict[str, str]

ROUTER = 'instance="edge-1:9470",job="peergate-router"'
REGISTRY = 'instance="registry:8470",job="peergate-registry"'
ALWAYS = "x6000"
ONE, NONE, GROWS = f"1{ALWAYS}", f"0{ALWAYS}", f"0+1{ALWAYS}"


def router(name: str, labels: str = "") -> str:
    return f"{name}{{{ROUTER}{labels and ','}{labels}}}"


def registry(name: str, labels: str = "") -> str:
    return f"peergate_registry_{name}{{{REGISTRY}{labels and ','}{labels}}}"


def sync(le: str) -> str:
    return router("peergate_sync_seconds_bucket", f'kind="changes",le="{le}"')


def packets(verdict: str, action: str) -> str:
    labels = f'gateway="hub",verdict="{verdict}",action="{action}"'
    return router("peergate_packets_total", labels)


ATTACHED = router("peergate_interface_attached", 'interface="eth0",attach="native"')
AGENT_ERRORS = router("peergate_agent_messages_total", 'level="error"')
SWITCHED = registry("cutover_step_timestamp_seconds", 'gateway="hub",state="switched"')
PLANNED = registry("cutover_step_timestamp_seconds", 'gateway="vpn",state="planned"')
UPKEEP_FAILS = registry("task_failures_total", 'task="upkeep"')
REFUSED = registry("requests_total", 'status="401"')
HEARD = router("peergate_registry_heard_timestamp_seconds")
WELL: Series = {
    router("up"): ONE,
    ATTACHED: ONE,
    router("peergate_interface_put_back_total"): NONE,
    router("peergate_filled"): ONE,
    router("peergate_change_held"): NONE,
    router("peergate_known_revision"): GROWS,
    router("peergate_applied_revision"): GROWS,
    router("peergate_registry_followed"): ONE,
    HEARD: "0+60x6000",
    router("peergate_repairs_total"): NONE,
    router("peergate_clock_offset_seconds"): f"400{ALWAYS}",
    router("peergate_clock_correction_seconds"): f"399.5{ALWAYS}",
    router("peergate_clock_synchronised"): ONE,
    packets("registered", "pass"): "0+90000000x6000",
    packets("unregistered", "drop"): "0+60000x6000",
    packets("expired", "drop"): NONE,
    sync("0.01"): GROWS,
    sync("10"): GROWS,
    sync("30"): GROWS,
    sync("+Inf"): GROWS,
    AGENT_ERRORS: NONE,
    f"up{{{REGISTRY}}}": ONE,
    registry("database_up"): ONE,
    registry("routers", 'health="good"'): f"7{ALWAYS}",
    **{
        registry("routers", f'health="{health}"'): NONE
        for health in ("silent", "detached", "ahead", "held", "behind", "clock")
    },
    registry("routers", 'health="new"'): ONE,
    registry("slowest_router_seconds"): f"2{ALWAYS}",
    SWITCHED: f"1000000{ALWAYS}",
    PLANNED: f"1000000{ALWAYS}",
    registry("cutover_strangers", 'gateway="hub"'): ONE,
    registry("cutover_strangers", 'gateway="vpn"'): ONE,
    registry("webhooks", 'state="good"'): ONE,
    registry("webhooks", 'state="failing"'): NONE,
    registry("webhooks", 'state="failed"'): NONE,
    UPKEEP_FAILS: NONE,
    registry("requests_total", 'status="200"'): "0+600x6000",
    REFUSED: "0+6x6000",
    registry("requests_total", 'status="503"'): NONE,
    registry("peers_expiring", 'within="24h"'): NONE,
    registry("peers", 'state="pending"'): NONE,
    registry("proposals"): NONE,
}

# What is wrong, from the 60th minute on; and when that is told of, in minutes.
WRONG: dict[str, tuple[Series, int]] = {
    "PeergateAgentUnreachable": ({router("up"): "1x59 0x6000"}, 66),
    "PeergateNotAttached": ({ATTACHED: "1x59 0x6000"}, 62),
    "PeergateTakenOff": ({router("peergate_interface_put_back_total"): "0x59 1x6000"}, 61),
    "PeergateNothingInForce": ({router("peergate_filled"): "1x59 0x6000"}, 66),
    "PeergateChangeHeld": (
        {
            router("peergate_change_held"): "0x59 1x6000",
            router("peergate_applied_revision"): "0+1x59 59x6000",
        },
        62,
    ),
    "PeergateBehind": ({router("peergate_applied_revision"): "0+1x59 59x6000"}, 66),
    "PeergateRegistryNotFollowed": ({router("peergate_registry_followed"): "1x59 0x6000"}, 71),
    "PeergateRegistrySilent": ({HEARD: "0+60x59 3540x6000"}, 76),
    "PeergateRepaired": ({router("peergate_repairs_total"): "0x59 3x6000"}, 61),
    "PeergateClockOff": ({router("peergate_clock_correction_seconds"): "399.5x59 0x6000"}, 66),
    "PeergateClockNotSynchronised": ({router("peergate_clock_synchronised"): "1x59 0x6000"}, 121),
    "PeergateExpiredKnock": ({packets("expired", "drop"): "0x59 0+5x6000"}, 77),
    "PeergateFlood": ({packets("unregistered", "drop"): "0x59 0+60000000x6000"}, 70),
    "PeergateSlowSync": ({sync("0.01"): "0+1x59 59x6000", sync("10"): "0+1x59 59x6000"}, 82),
    "PeergateAgentErrors": ({AGENT_ERRORS: "0x59 1x6000"}, 61),
    "PeergateRegistryUnreachable": ({f"up{{{REGISTRY}}}": "1x59 0x6000"}, 63),
    "PeergateDatabaseDown": ({registry("database_up"): "1x59 0x6000"}, 62),
    "PeergateRoutersInTrouble": ({registry("routers", 'health="held"'): "0x59 2x6000"}, 66),
    "PeergateRouterFarBehind": ({registry("slowest_router_seconds"): "2x59 301x6000"}, 62),
    "PeergateCutoverUnconfirmed": ({SWITCHED: f"{70 * 60}{ALWAYS}"}, 67),
    "PeergateCutoverStrangers": ({PLANNED: f"{119 * 60}{ALWAYS}"}, 62),
    "PeergateWebhookFailing": ({registry("webhooks", 'state="failing"'): "0x59 1x6000"}, 76),
    "PeergateUpkeepFailing": ({UPKEEP_FAILS: "0x59 2x10 4x6000"}, 67),
    "PeergateRequestsFail": ({registry("requests_total", 'status="503"'): "0x59 0+60x6000"}, 71),
    "PeergateTokensTried": ({REFUSED: "0+6x59 354+120x6000"}, 76),
    "PeergatePeersExpiring": ({registry("peers_expiring", 'within="24h"'): "0x59 4x6000"}, 62),
    "PeergateApprovalsWait": ({registry("proposals"): "0x59 1x6000"}, 60 + 3 * 24 * 60 + 1),
}


def judged(series: Series, at: dict[int, list[str]]) -> dict[str, Any]:
    """One of promtool's tests: which alerts fire at these minutes."""
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{minute}m",
                "exp_samples": [
                    {"labels": f'{{alertname="{name}"}}', "value": 1} for name in names
                ],
            }
            for minute, names in at.items()
        ],
    }


def run(tmp_path: Path, *tests: dict[str, Any]) -> None:
    file = tmp_path / "peergate.test.yml"
    document = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [*tests]}
    file.write_text(yaml.safe_dump(document))
    assert "SUCCESS" in promtool("test", "rules", file)


def test_promtool_takes_them() -> None:
    assert "SUCCESS" in promtool("check", "rules", RULES)


def test_all_is_well(tmp_path: Path) -> None:
    run(tmp_path, judged(WELL, {1: [], 60: [], 4500: []}))


def test_every_alert_is_here() -> None:
    assert set(WRONG) == set(rules())


@pytest.mark.parametrize("alert", WRONG)
def test_it_fires_alone(tmp_path: Path, alert: str) -> None:
    series, told = WRONG[alert]
    assert series.keys() <= WELL.keys()
    run(tmp_path, judged(WELL | series, {59: [], told: [alert]}))


def test_whoever_is_paged_is_told_what_to_do() -> None:
    for name, rule in rules().items():
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert set(rule["annotations"]) == {"summary", "description"}, name
        if "for" not in rule:
            assert "increase(" in rule["expr"], name


def test_texts_name_what_it_is_about(tmp_path: Path) -> None:
    series, told = WRONG["PeergateExpiredKnock"]
    rule = rules()["PeergateExpiredKnock"]
    test = judged(WELL | series, {59: []})
    test["alert_rule_test"] = [
        {
            "eval_time": f"{told}m",
            "alertname": "PeergateExpiredKnock",
            "exp_alerts": [
                {
                    "exp_labels": {
                        "severity": "ticket",
                        "instance": "edge-1:9470",
                        "gateway": "hub",
                    },
                    "exp_annotations": {
                        "summary": "hub: a peer that has expired goes on sending",
                        "description": rule["annotations"]["description"].replace(
                            "{{ $labels.instance }}", "edge-1:9470"
                        ),
                    },
                }
            ],
        }
    ]
    run(tmp_path, test)
