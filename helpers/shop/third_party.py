"""How somebody else's server behaves when it does not behave: rules that can be set over HTTP.

A rule is a dict. do: "fail" (answers status, 503 if not given, and does nothing), "slow" (waits seconds, then does it),
"lie" (does it, and answers 500), "decline" (the provider only). times: how often, for ever if not given. userId,
orderId: only for requests about these.
"""

import threading
import time

from . import store, web

RULES = ("fail", "slow", "lie", "decline")


def serve(me, settings, name, tables, effect):
    """Runs somebody else's server until the process is asked to stop. effect(db, request, rule) -> (status, dict)."""
    rules, local = Rules(), store.PerThread(settings.database(name), tables)
    web.Server(settings.folder, name, lambda request: rules.answer(request, lambda *how: effect(local.db, *how)))
    me.log("ready")
    web.until_stopped(me)


class Rules:
    """The rules that hold now."""

    def __init__(self):
        self.rules, self.lock = [], threading.Lock()

    def answer(self, request, effect):
        """What the server answers: effect(request, rule) where the rules allow it, an error where they do not."""
        if request.method == "PUT" and request.path == "/behaviour":
            self.rules = request.body["rules"]
            return 200, {"rules": len(self.rules)}
        rule = self._take(request.body)
        if rule.get("do") == "fail":
            return rule.get("status", 503), {"error": "out of order"}
        if rule.get("do") == "slow":
            time.sleep(rule["seconds"])
        status, body = effect(request, rule)
        return (500, {"error": "something went wrong"}) if rule.get("do") == "lie" else (status, body)

    def _take(self, body):
        """The first rule that fits; it is used up by one."""
        with self.lock:
            for rule in self.rules:
                about = all(rule.get(name) in (None, body.get(name)) for name in ("userId", "orderId"))
                if about and rule.get("times", 1) > 0:
                    if "times" in rule:
                        rule["times"] -= 1
                    return rule
        return {}
