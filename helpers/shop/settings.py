"""What all processes of one run of the shop know: where its files are, what it sells, and which guards are off.

A guard that is off breaks nothing by itself. Each needs a fault beside it (faults.py has the moments of a crash); then
an invariant is red and names the record:

inbox=False                             crash after_db_commit, balance, balance.deduct: I2 and I5
without_key=("shop.balance.command",)   members=["balance-2"], and many orders of few users: I5
retry_topics=("balance",)               a trigger forbids an entry of the ledger, until the next one is in: I5
outbox=False                            crash after_db_commit, order, stock.confirmed: I8 and I9
commit_first=True                       crash before_db_commit, balance, balance.charge, and a later charge: I5
"""

from dataclasses import dataclass, field
from pathlib import Path

PRODUCTS = {f"p-{number}": (1000 * number, 2000) for number in range(1, 11)}  # id: (price, stock)
COUPONS = {f"c-{number}": (500, 200) for number in range(1, 4)}  # id: (discount, quota)


@dataclass(frozen=True)
class Settings:
    """The settings of a run. prefix: the chapter's, in front of topics and groups."""

    folder: Path
    prefix: str
    products: dict = field(default_factory=lambda: PRODUCTS)
    coupons: dict = field(default_factory=lambda: COUPONS)
    batch: int = 200  # records in one transaction, at most
    inbox: bool = True  # False: nobody remembers what was handled
    without_key: tuple = ()  # topics whose records go to any partition: ("shop.balance.command",)
    retry_topics: tuple = ()  # more groups that retry through topics, rather than park a key: ("balance",)
    outbox: bool = True  # False: what was not published before a crash, or could not be, is forgotten
    commit_first: bool = False  # True: the offset is committed before the work
    crash: dict | list | None = None  # {"service": "balance", "point": "after_db_commit", "type": "balance.deduct"}
    cost: float = 0  # seconds of waiting that every command of the balance takes more, as if it asked somebody
    patience: float = 3600  # seconds until an order that waits for an answer is given up; learners pause between cells
    port: int = 0  # of the order API; 0: any free one

    def database(self, service):
        """The SQLite file of a service."""
        return str(self.folder / f"{service}.db")
