"""ARNs of Amazon SNS topics, and the host of SNS that speaks for each."""

from __future__ import annotations

import re

_TOPIC = re.compile(
    r"arn:aws(?P<partition>-cn|-us-gov)?:sns:(?P<region>[a-z0-9-]{1,40}):[0-9]{12}:[A-Za-z0-9_.-]{1,300}"
)


def host_of(topic: str) -> str | None:
    """The host of SNS in the topic's region; None: it is no topic's ARN."""
    match = _TOPIC.fullmatch(topic)
    if match is None:
        return None
    return f"sns.{match['region']}.amazonaws.com" + (".cn" if match["partition"] == "-cn" else "")
