"""Which addresses may be dialled, and which hosts a connection names."""

from __future__ import annotations

import ipaddress
import json

import pytest

from airflow_rest_api.sandbox import addresses, destinations
from airflow_rest_api.sandbox.addresses import Policy


def fault(text, port=80, policy=None, **further):
    return (policy or Policy()).fault(ipaddress.ip_address(text), port, **further)


@pytest.mark.parametrize(
    ("reason", "found"),
    [
        (
            addresses.LOOPBACK,
            ["127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "::", "::1", "::ffff:127.0.0.1"],
        ),
        (addresses.LOOPBACK, ["::127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::", "::ffff:0.0.0.0"]),
        (addresses.LINK_LOCAL, ["169.254.169.254", "169.254.0.1", "fe80::1", "::ffff:169.254.169.254"]),
        (
            addresses.METADATA,
            ["fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd20:ce::254"],
        ),
        (addresses.SPECIAL, ["224.0.0.1", "255.255.255.255", "240.0.0.1", "ff02::1"]),
        (
            None,
            [
                "10.1.2.3",
                "172.16.0.1",
                "192.168.0.1",
                "100.64.0.1",
                "8.8.8.8",
                "fd12::1",
                "2001:4860:4860::8888",
            ],
        ),
    ],
)
def test_addresses_are_known_by_what_they_reach_in_any_form(reason, found):
    assert {text: fault(text) for text in found} == dict.fromkeys(found, reason)


def test_openings_are_for_networks_and_ports_in_either_form():
    policy = Policy.of([("127.0.0.0/24", 5432), ("fe80::/10", None)], [])
    assert fault("127.0.0.7", 5432, policy) is None
    assert fault("::ffff:127.0.0.7", 5432, policy) is None
    assert fault("127.0.0.7", 0, policy) is None
    assert fault("127.0.0.7", 5433, policy) == fault("127.0.1.7", 5432, policy) == addresses.LOOPBACK
    assert fault("fe80::5", 1, policy) is None
    # Written in the longer form.
    assert fault("127.0.0.1", 1, Policy.of([("::ffff:127.0.0.1/128", None)], [])) == addresses.LOOPBACK
    assert fault("::ffff:127.0.0.1", 1, Policy.of([("::ffff:127.0.0.1/128", None)], [])) is None


def test_airflows_own_hosts_are_denied_and_name_servers_answer_questions_alone():
    policy = Policy(own=frozenset([ipaddress.ip_address("10.1.1.1")]))
    assert fault("10.1.1.1", policy=policy) == fault("::ffff:10.1.1.1", policy=policy) == addresses.OWN
    local = Policy(name_servers=frozenset([ipaddress.ip_address("127.0.0.53")]))
    assert fault("127.0.0.53", 53, local, asks_name=True) is None
    for port, asks_name in ((53, False), (54, True)):
        assert fault("127.0.0.53", port, local, asks_name=asks_name) == addresses.LOOPBACK


@pytest.mark.parametrize(
    ("host", "found"),
    [
        (None, []),
        ("", []),
        ("/var/run/postgresql", []),
        ("warehouse", [("warehouse", 7)]),
        ("warehouse:5432/db", [("warehouse", 5432)]),
        ("a:1,b:2,c", [("a", 1), ("b", 2), ("c", 7)]),
        ("https://user:p@ss@api.example:8443/v1?x=y", [("api.example", 8443)]),
        ("mongodb+srv://u:p@a,b", [("a", 7), ("b", 7)]),
        ("::1", [("::1", 7)]),
        ("[::1]:80", [("::1", 80)]),
        ("http://a\\@b", [("a", 7)]),
        ("a:many", [("a", 7)]),
    ],
)
def test_a_host_is_read_in_all_the_ways_in_which_hooks_read_it(host, found):
    assert destinations.named({"host": host, "port": 7}) == found


def test_hosts_are_found_in_the_extra_wherever_they_are():
    extra = {
        "endpoint_url": "http://one.example/x",
        "nested": {"Bootstrap.Servers": "two:9092,three", "list": [{"proxy": "four"}], "number": 5},
        "text": "see https://five.example and ftp://six",
        "region": "north",
    }
    found = [host for host, _ in destinations.named({"extra": json.dumps(extra)})]
    assert found == ["one.example", "two", "three", "four", "five.example", "six"]
    assert destinations.named({"host": "a", "extra": "no json"}) == [("a", 0)]
    many = json.dumps({"hosts": [f"h{number}" for number in range(100)]})
    assert len(destinations.named({"extra": many})) == destinations.MOST
