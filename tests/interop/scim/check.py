"""Runs scim2-tester against a SCIM server and prints what came of each check as JSON.

    check.py https://…/scim/acme/v2 TOKEN
"""

import json
import sys

from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import check_server


def main(base: str, token: str) -> None:
    # The proxies of the environment are not asked: usher is on this machine.
    http = Client(
        base_url=base,
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
        trust_env=False,
    )
    results = check_server(SyncSCIMClient(http))
    for result in results:
        line = {
            "status": result.status.name,
            "title": result.title,
            "resource": result.resource_type,
            "reason": result.reason,
        }
        if result.status.name not in ("SUCCESS", "SKIPPED"):
            line["data"] = str(result.data)[:2000]
        print(json.dumps(line))


if __name__ == "__main__":
    main(*sys.argv[1:])
