"""The payment provider: somebody else's server. It does what it is asked once for each idempotency key."""

TABLES = "CREATE TABLE IF NOT EXISTS paid (key TEXT PRIMARY KEY, orders TEXT, amount INTEGER, result TEXT NOT NULL);"


def effect(db, request, rule):
    """POST /payments pays, or declines; GET /payments/KEY tells what became of it."""
    if request.method == "POST":
        return pay(db, request.headers["Idempotency-Key"], request.body, rule)
    return found(db, request.path.rpartition("/")[2])


def pay(db, key, body, rule):
    """Once for each key: a second time the first result is the answer."""
    result = "declined" if rule.get("do") == "decline" else "paid"
    row = (key, body["orderId"], body["amount"], result)
    db.execute("INSERT OR IGNORE INTO paid VALUES (?, ?, ?, ?)", row)
    return found(db, key)


def found(db, key):
    row = db.execute("SELECT result FROM paid WHERE key = ?", (key,)).fetchone()
    return (200, {"result": row["result"]}) if row else (404, {"error": "no such payment"})
