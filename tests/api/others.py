# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#
# others.py SOCKET
#
# What other people's programs say of the adjunct that listens at SOCKET, which has
# a guest: openapi-spec-validator of its OpenAPI document, schemathesis of whether
# it does as that says, prometheus_client of its metrics.
import http.client
import socket
import sys

import hypothesis
import openapi_spec_validator
import schemathesis
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from schemathesis.checks import CHECKS, load_all_checks

ROOT = "/api/v1/"
# Ends the guest's peace or ours, or takes files that random names could mean; the last never ends.
LEFT_OUT = ["vm.boot", "vmm.shutdown", "vm.events"]
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


def bridge(path):
    """A WSGI application that passes everything on to the socket."""

    def application(environ, start_response):
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
        headers = {"Content-Type": environ["CONTENT_TYPE"]} if environ.get("CONTENT_TYPE") else {}
        answer, text = ask(path, environ["REQUEST_METHOD"], environ["PATH_INFO"], body, headers)
        # They are of one connection.
        passed = [(name, value) for name, value in answer.getheaders() if name != "Connection"]
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
    checked = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path.lstrip("/") in LEFT_OUT:
            continue

        @settings
        @hypothesis.given(case=operation.as_strategy())
        def positive(case):
            case.call_and_validate(excluded_checks=unchecked)

        @settings
        @hypothesis.given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))
        def negative(case):
            case.call_and_validate(excluded_checks=unchecked)

        positive()
        if operation.body:
            negative()
        checked += 1
    print(f"{checked} operations")


check_metrics(sys.argv[1])
check_operations(sys.argv[1])
