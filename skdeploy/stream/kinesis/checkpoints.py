"""How far shards are done, and whose turn it is: items of a DynamoDB table.

An item has the key (`deployment`, `item`). The item of a stream is its lease: `owner`, `renewals`, and
`began`, when its first consumer came. The item `stream/shard` is a checkpoint: `done`, a sequence number
or `SHARD_END`. A checkpoint is written in one transaction with the renewal of the lease, which only its
owner can make: who lost it writes nothing.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

from skdeploy.errors import StreamError
from skdeploy.stream.kinesis.client import code_of, refused, transport_errors
from skdeploy.stream.kinesis.retrying import until_it_works
from skdeploy.stream.stopping import Stop

_log = logging.getLogger(__name__)

SHARD_END = "SHARD_END"
_LOOK_SECONDS = 0.5
_KEYS = (("deployment", "HASH"), ("item", "RANGE"))
# Two writers met, nothing was written: the same call may work at once.
_MET = "TransactionConflict"


class Checkpoints:
    """The checkpoints of one stream's shards, and the lease on them.

    client    of DynamoDB, which does not retry by itself
    seconds   how long the owner's counter must stand still, on this process' clock, until it is taken over
    """

    def __init__(
        self, client: Any, table: str, deployment: str, stream: str, *, seconds: float, stop: Stop
    ) -> None:
        self._client, self._table, self._stop = client, table, stop
        self._deployment, self._stream = deployment, stream
        self._seconds = seconds
        self._owner = uuid.uuid4().hex
        self._renewed = 0.0

    def make_table(self) -> None:
        """Make the table if it is missing, and wait until it is there. Raises StreamError."""
        while (status := self._call(self._status)) != "ACTIVE":
            if not status:
                _log.info("The table %s is made", self._table)
                self._call(self._create)
            self._stop.check()
            time.sleep(_LOOK_SECONDS)

    def acquire(self) -> bool:
        """Wait until the lease is this process'; whether it is, or the process was told to stop before.

        Clocks of hosts differ, so a lease has no time in it: its counter stands still, or it does not.
        """
        seen, since = None, time.monotonic()
        while not self._stop.is_set():
            item = self._call(self._lease)
            owner, renewals = (item["owner"]["S"], item["renewals"]["N"]) if item else ("", "0")
            if owner == self._owner:
                self._renewed = time.monotonic()
                return True
            if seen is None and owner:
                _log.info("The stream %s has a consumer: this one waits", self._stream)
            if seen != (owner, renewals):
                seen, since = (owner, renewals), time.monotonic()
            if not owner or time.monotonic() - since >= self._seconds:
                self._call(lambda owner=owner, renewals=renewals: self._take(owner, renewals))  # type: ignore[misc]
            else:
                time.sleep(min(_LOOK_SECONDS, self._seconds / 4))
        return False

    def began(self) -> float:
        """When this stream's first consumer came, seconds since 1970 on its clock."""
        return float(self._call(self._lease)["began"]["N"])

    def renew(self) -> None:
        """Count the lease on where a third of its time is over. Raises StreamError if it is lost."""
        if time.monotonic() - self._renewed >= self._seconds / 3:
            self._write([])

    def read(self) -> dict[str, str]:
        """Shard -> a sequence number or `SHARD_END`."""
        done: dict[str, str] = {}
        query: dict[str, Any] = {
            "TableName": self._table,
            "ConsistentRead": True,
            "KeyConditionExpression": "deployment = :deployment AND begins_with(#item, :stream)",
            "ExpressionAttributeNames": {"#item": "item"},
            "ExpressionAttributeValues": {
                ":deployment": {"S": self._deployment},
                ":stream": {"S": f"{self._stream}/"},
            },
        }
        while True:
            answer = self._call(lambda: self._client.query(**query))
            done |= {one["item"]["S"].partition("/")[2]: one["done"]["S"] for one in answer["Items"]}
            if "LastEvaluatedKey" not in answer:
                return done
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def write(self, shard: str, done: str) -> None:
        """A shard is done so far. Raises StreamError if the lease is lost; then nothing is written."""
        item = {**self._key(f"{self._stream}/{shard}"), "done": {"S": done}, "owner": {"S": self._owner}}
        self._write([{"Put": {"TableName": self._table, "Item": item}}])

    def release(self) -> None:
        """The next consumer need not wait. Best effort."""
        update = self._update("SET #owner = :nobody", {":nobody": {"S": ""}})
        try:
            self._client.update_item(**update)
        except transport_errors() as error:
            _log.warning("The lease on %s was not released: %s", self._stream, code_of(error))

    def _write(self, writes: list[dict[str, Any]]) -> None:
        renewal = self._update("SET renewals = renewals + :one", {":one": {"N": "1"}})
        self._call(lambda: self._transact([{"Update": renewal}, *writes]))
        self._renewed = time.monotonic()

    def _transact(self, writes: list[dict[str, Any]]) -> None:
        while True:
            try:
                self._client.transact_write_items(TransactItems=writes)
                return
            except self._client.exceptions.TransactionCanceledException as error:
                reasons = {one.get("Code") for one in error.response.get("CancellationReasons", ())}
                if "ConditionalCheckFailed" in reasons:
                    raise StreamError(
                        f"Another consumer has taken over the stream {self._stream}: "
                        f"this one was silent for SKDEPLOY_LEASE_SECONDS ({self._seconds:g}) or longer."
                    ) from error
                if _MET not in reasons and "ThrottlingError" not in reasons:
                    raise
            self._stop.check()
            time.sleep(_LOOK_SECONDS)

    def _take(self, owner: str, renewals: str) -> None:
        """Take the lease if it is still as it was seen; the next look says whether that worked."""
        changes = "SET #owner = :me, renewals = :next, began = if_not_exists(began, :now)"
        values = {
            ":me": {"S": self._owner},
            ":next": {"N": str(int(renewals) + 1)},
            ":now": {"N": f"{time.time():.3f}"},
            ":owner": {"S": owner},
            ":seen": {"N": renewals},
        }
        condition = "attribute_not_exists(#owner) OR (#owner = :owner AND renewals = :seen)"
        try:
            self._client.update_item(**self._update(changes, values, condition))
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def _update(
        self, changes: str, values: dict[str, Any], condition: str = "#owner = :owner"
    ) -> dict[str, Any]:
        return {
            "TableName": self._table,
            "Key": self._key(self._stream),
            "UpdateExpression": changes,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {"#owner": "owner"},
            "ExpressionAttributeValues": {":owner": {"S": self._owner}, **values},
        }

    def _lease(self) -> Any:
        answer = self._client.get_item(
            TableName=self._table, Key=self._key(self._stream), ConsistentRead=True
        )
        return answer.get("Item")

    def _key(self, item: str) -> dict[str, Any]:
        return {"deployment": {"S": self._deployment}, "item": {"S": item}}

    def _status(self) -> str:
        try:
            return str(self._client.describe_table(TableName=self._table)["Table"]["TableStatus"])
        except self._client.exceptions.ResourceNotFoundException:
            return ""

    def _create(self) -> None:
        try:
            self._client.create_table(
                TableName=self._table,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in _KEYS],
                KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in _KEYS],
            )
        except self._client.exceptions.ResourceInUseException:
            return

    def _call(self, call: Callable[[], Any]) -> Any:
        try:
            return until_it_works(call, f"The table {self._table} did not answer", self._stop)
        except transport_errors() as error:
            raise refused(error, f"The table {self._table} is of no use") from error
