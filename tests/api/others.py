# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#
# others.py SOCKET
#
# What other people's programs say of the adjunct that listens at SOCKET, which has
# a guest: openapi-spec-validator of its OpenAPI document, schemathesis of whether
# it does as that says, prometheus_client of its metrics. At the end it has ended.
import http.client
import json
import socket
import sys

import hypothesis
import openapi_spec_validator
import schemathesis
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from schemathesis.checks import CHECKS, load_all_checks

ROOT = "/api/v1/"
# The answer to this goes on for ever: what comes of it is as much as tells one event.
EVENTS = ROOT + "vm.events"
# This ends what is tested.
LAST = "vmm.shutdown"
# What a schema can't say of a CPU model or a path makes some of what it allows a bad request.
UNCHECKED = ["positive_data_acceptance"]
EXAMPLES = 40


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(path, method, target, body=b"", headers=None):
    connection = UnixConnection(path)
    connection.request(method, target, body or None, headers or {})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer, text


def order(path, name, body=None):
    """Orders something that may be done already."""
    answer, _ = ask(path, "PUT", ROOT + name, json.dumps(body).encode() if body else b"")
    return answer.status


def first_event(path):
    """The head of the answer that tells events, and one of them."""
    connection = UnixConnection(path)
    connection.request("GET", EVENTS)
    answer = connection.getresponse()
    # Something to tell.
    assert order(path, "vm.reboot") == 204
    event = answer.readline()
    json.loads(event)
    answer.close()
    connection.close()
    return answer, event


def bridge(path):
    """A WSGI application that passes everything on to the socket."""

    def application(environ, start_response):
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
        headers = {"Content-Type": environ["CONTENT_TYPE"]} if environ.get("CONTENT_TYPE") else {}
        method, target = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if (method, target) == ("GET", EVENTS):
            answer, text = first_event(path)
        else:
            answer, text = ask(path, method, target, body, headers)
        # They are of one connection.
        of_one = ("connection", "transfer-encoding")
        passed = [(name, value) for name, value in answer.getheaders() if name.lower() not in of_one]
        start_response(f"{answer.status} {answer.reason}", passed)
        return [text]

    return application


def check_metrics(path):
    answer, text = ask(path, "GET", ROOT + "vm.metrics")
    assert answer.getheader("Content-Type").startswith("application/openmetrics-text"), answer.getheaders()
    families = {family.name: family for family in text_string_to_metric_families(text.decode())}
    assert families["adjunct_vcpu_exits"].type == "counter", families
    assert [sample.value for sample in families["adjunct_ap_queues"].samples] == [4], families
    print(f"{len(families)} families of metrics")


def check_operations(path):
    schema = schemathesis.openapi.from_wsgi(ROOT + "openapi.json", bridge(path))
    openapi_spec_validator.validate(schema.raw_schema)
    load_all_checks()
    unchecked = CHECKS.get_by_names(UNCHECKED)
    settings = hypothesis.settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
    config = json.loads(ask(path, "GET", ROOT + "vm.info")[1])["config"]
    operations = [result.ok() for result in schema.get_all_operations()]
    operations.sort(key=lambda operation: operation.path.lstrip("/") == LAST)
    for operation in operations:
        name = operation.path.lstrip("/")

        @settings
        @hypothesis.given(case=operation.as_strategy())
        def positive(case):
            case.call_and_validate(excluded_checks=unchecked)

        @settings
        @hypothesis.given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))
        def negative(case):
            case.call_and_validate(excluded_checks=unchecked)

        # Others have been at it.
        order(path, "vm.delete")
        if name == "vm.boot":
            # Without a guest, and of one that was created.
            positive()
            assert order(path, "vm.create", config) == 204
            positive()
            assert order(path, "vm.shutdown") == 204, "it was not booted"
        assert order(path, "vm.create", config) in (204, 409)
        if name != "vm.create":
            assert order(path, "vm.boot") == 204
        positive()
        if operation.body:
            negative()
    print(f"{len(operations)} operations")


check_metrics(sys.argv[1])
check_operations(sys.argv[1])
