# A receiver of usher's callback with nothing but Python (3.9 or newer) and a SQLite file:
#   HOOK_SECRET=whsec_… python3 receiver.py
import base64, hmac, json, os, re, sqlite3, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = int(os.environ.get("PORT", 3000))
STORE = os.environ.get("STORE", "accounts.db")
SEATS = int(os.environ.get("SEATS", 100))
# The newest and, while it is being replaced, the one before it.
KEYS = [base64.b64decode(one.removeprefix("whsec_") + "==") for one in os.environ["HOOK_SECRET"].split()]


# [verify]
def authentic(headers, body):
    event, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not event or not re.fullmatch("[0-9]{1,12}", sent) or abs(time.time() - int(sent)) > 300:
        return False
    wanted = [base64.b64encode(hmac.digest(key, f"{event}.{sent}.".encode() + body, "sha256")) for key in KEYS]
    given = [one[3:].encode() for one in headers.get("webhook-signature", "").split() if one.startswith("v1,")]
    return any(hmac.compare_digest(one, other) for one in given for other in wanted)
# [/verify]


# [decide]
def decide(db, kind, user):
    if kind == "user.deleted":
        db.execute("DELETE FROM account WHERE user = ?", [user["id"]])
        return 200, {}
    if kind not in ("user.created", "user.updated", "user.deactivated", "user.reactivated"):
        return 200, {}
    known = db.execute("SELECT active FROM account WHERE user = ?", [user["id"]]).fetchone()
    if user["active"] and not (known and known[0]):
        if (user["email"] or "").endswith("@blocked.example"):
            return 403, {"reason": "blocked_domain", "user_message": "Use your company's e-mail address."}
        if db.execute("SELECT count(*) FROM account WHERE active").fetchone()[0] >= SEATS:
            return 403, {"reason": "no_seat", "user_message": "All seats are taken. Ask Ann for one."}
    db.execute("UPDATE account SET email = ?, name = ?, roles = ?, active = ? WHERE user = ?" if known else
               "INSERT INTO account (email, name, roles, active, user) VALUES (?, ?, ?, ?, ?)",
               [user["email"], user["name"], ",".join(user["roles"]), user["active"], user["id"]])
    account = db.execute("SELECT id FROM account WHERE user = ?", [user["id"]]).fetchone()[0]
    return 200 if known else 201, {"account": str(account)}
# [/decide]


# [once]
def answer(event, body):
    db = sqlite3.connect(STORE, isolation_level=None)
    try:
        db.execute("BEGIN IMMEDIATE")  # The account and the answer are kept together, or neither is.
        before = db.execute("SELECT status, answer FROM answer WHERE event = ?", [event]).fetchone()
        if before:
            return before[0], json.loads(before[1])
        told = json.loads(body)
        status, said = decide(db, told["type"], told["data"]["user"])
        if status < 300:
            db.execute("INSERT INTO answer (event, status, answer) VALUES (?, ?, ?)", [event, status, json.dumps(said)])
        db.execute("COMMIT")
        return status, said
    finally:
        db.close()
# [/once]


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(min(int(self.headers.get("content-length", 0)), 1 << 20))
        if self.path != "/internal/users":
            status, said = 404, {}
        elif not authentic(self.headers, body):
            status, said = 401, {}
        else:
            status, said = answer(self.headers["webhook-id"], body)
        text = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_OPTIONS(self):
        self.send_error(405)  # `usher check` asks so whether this address is there.


db = sqlite3.connect(STORE)
db.execute("CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT UNIQUE, email TEXT, name TEXT, roles TEXT, active INTEGER)")
db.execute("CREATE TABLE IF NOT EXISTS answer (event TEXT PRIMARY KEY, status INTEGER, answer TEXT)")
db.close()
ThreadingHTTPServer(("127.0.0.1", PORT), Receiver).serve_forever()
