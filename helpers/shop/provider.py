"""The payment provider: somebody else's server. It does what it is asked once for each idempotency key."""

from . import store, web
from .third_party import Rules

TABLES = "CREATE TABLE IF NOT EXISTS paid (key TEXT PRIMARY KEY, orders TEXT, amount INTEGER, result TEXT NOT NULL);"


def serve(me, settings):
    """Runs the provider until the process is asked to stop."""
    rules = Rules()
    web.Server(settings.folder, "provider", lambda request: rules.answer(request, Provider(settings).effect))
    store.connect(settings.database("provider"), TABLES).close()
    me.log("ready")
    web.until_stopped(me)


class Provider:
    """What the provider does. A request opens the database for itself, because each connection has its own thread."""

    def __init__(self, settings):
        self.settings = settings

    def effect(self, request, rule):
        """POST /payments pays, or declines; GET /payments/KEY tells what became of it."""
        db = store.connect(self.settings.database("provider"))
        try:
            if request.method == "GET":
                return self.found(db, request.path.rpartition("/")[2])
            return self.pay(db, request.headers["Idempotency-Key"], request.body, rule)
        finally:
            db.close()

    def pay(self, db, key, body, rule):
        """Once for each key: a second time the first result is the answer."""
        result = "declined" if rule.get("do") == "decline" else "paid"
        row = (key, body["orderId"], body["amount"], result)
        db.execute("INSERT OR IGNORE INTO paid VALUES (?, ?, ?, ?)", row)
        return self.found(db, key)

    def found(self, db, key):
        row = db.execute("SELECT result FROM paid WHERE key = ?", (key,)).fetchone()
        return (200, {"result": row["result"]}) if row else (404, {"error": "no such payment"})
