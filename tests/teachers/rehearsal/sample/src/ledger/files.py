# ruff: noqa

import os

from ledger.amounts import Account, parse, total


def read_account(path, owner):
    handle = open(path)
    lines = handle.read().splitlines()
    account = Account(owner, [])
    handle.close()
    for line in lines:
        if line and not line.startswith("#"):
            account.book(line)
    return account


def accounts_in(folder):
    found = {}
    for name in os.listdir(folder):
        if name.endswith(".txt") or name.endswith(".book"):
            found[name] = read_account(os.path.join(folder, name), name)
    return found


def report(accounts, width=20):
    rows = []
    for name, account in accounts.items():
        assert account.owner
        rows.append(name.ljust(width) + str(account.balance).rjust(12))
    return "\n".join(rows)


def first_amount(lines):
    """Amount on the first line."""
    amount, _ = parse(lines[0])
    return amount


def summary(path):
    try:
        account = read_account(path, "somebody")
    except:
        return None
    return total([amount for amount, _ in account.bookings])
