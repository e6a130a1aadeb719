"""Conditions for a table of students, on Spark: each partition has a connection of its own.

    python -m examples.spark_assign

asks the UpGrade server that UPGRADE_HOST_URL names, or a LocalUpgrade on this machine, for 2,000
students on two local cores, and prints how many get which condition.

At most CONCURRENCY calls are under way for each core of the executors; the documentation says how
to size that for a server.
"""

# Spark is not installed with the rest of the examples, and has types of its own:
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession

from upgrade_client_lib import UpgradeConnection
from upgrade_client_lib.batch import BatchUser, decide_many
from upgrade_client_lib.testing import LocalUpgrade

CONCURRENCY = 10
POINTS = [("letter", "subject")]
COLUMNS = "user string, site string, target string, condition string, reason string, error string"


def assign(students: DataFrame, connection: UpgradeConnection, context: str) -> DataFrame:
    """Return a table with a row for each student and decision point.

    ``students`` has the columns ``user`` and ``school_class``. Spark pickles the connection, whose
    settings arrive where the partition is worked on; its token does so only where it was made with
    ``pickle_secrets=True``. Else let ``decide`` make one, by ``from_env``.
    """

    def decide(rows: Iterable[Row]) -> Iterator[tuple[Any, ...]]:
        users = (
            BatchUser(
                row.user,
                group={"class": [row.school_class]},
                working_group={"class": row.school_class},
            )
            for row in rows
        )
        with connection:
            decided = decide_many(connection, context, users, POINTS, concurrency=CONCURRENCY)
            for row in decided:
                given = row.as_dict()
                yield (
                    *(given[name] for name in ("user", "site", "target", "condition")),
                    given["reason"],
                    given["error"],
                )

    return students.sparkSession.createDataFrame(students.rdd.mapPartitions(decide), COLUMNS)


def main() -> None:
    local = LocalUpgrade()
    local.experiment("letter", "subject", conditions={"your week": 50, "keep going": 50})
    host_url = os.environ.get("UPGRADE_HOST_URL")
    spark = SparkSession.builder.master("local[2]").appName("upgrade").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    try:
        with nullcontext(host_url) if host_url else local.serve() as url:
            students = spark.createDataFrame(
                [(f"student-{number}", f"class-{number % 20}") for number in range(2_000)],
                "user string, school_class string",
            )
            connection = UpgradeConnection(url, breaker=False, timeout=30.0, retries=5)
            rows = assign(students, connection, "my-app").cache()
            for found in rows.groupBy("condition", "reason").count().sort("condition").collect():
                print(f"{found['condition'] or found['reason']}: {found['count']:,} students")
            failed = rows.where("error is not null").limit(10).collect()
            for row in failed:
                print(f"{row.user}: {row.error}", file=sys.stderr)
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
