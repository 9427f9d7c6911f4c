"""A client of REST APIs that shows everything: status, headers, the exact text of the body."""
import http.client
import json
from collections import namedtuple

from lib.wait import until

Answer = namedtuple("Answer", "status headers text")


class Rest:
    def __init__(self, port, host="127.0.0.1"):
        self.host, self.port = host, port

    def call(self, method, path, body=None, headers=None, timeout_s=60):
        """body: text, or a value that becomes JSON."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        sent = {"Accept": "application/json"}
        if body is not None:
            sent["Content-Type"] = "application/json"
            body = body if isinstance(body, (str, bytes)) else json.dumps(body, separators=(",", ":"))
        sent.update(headers or {})
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read().decode())
        finally:
            connection.close()

    def json(self, method, path, body=None):
        """(status, decoded body or None)"""
        answer = self.call(method, path, body)
        return answer.status, json.loads(answer.text) if answer.text else None

    def states(self, name):
        """"CONNECTOR/TASK" or "CONNECTOR/-"; None: no status."""
        status, body = self.json("GET", "/connectors/%s/status" % name)
        if status != 200:
            return None
        return body["connector"]["state"] + "/" + (body["tasks"][0]["state"] if body["tasks"] else "-")

    def wait_states(self, name, *wanted, timeout_s=30):
        def reached():
            state = self.states(name)
            return (state, ) if state in wanted else None
        return until(lambda: "%s is %s instead of %s" % (name, self.states(name), " or ".join(map(str, wanted))), reached, timeout_s)[0]
