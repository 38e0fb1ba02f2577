"""What a topic takes, learned from what it refuses; and a door without its library."""

from __future__ import annotations

import subprocess
import sys

from skdeploy.stream.kafka.messages import Outgoing, size_of
from skdeploy.stream.kafka.sizes import Sizes


def message(size: int) -> Outgoing:
    """One of so many bytes on the wire."""
    return Outgoing(b"x" * (size - size_of(Outgoing(b"", None, [], 0))), None, [], 0)


def refused(sizes: Sizes, topic: str) -> bool:
    """The topic refuses what is on its way, and everything is taken again; whether something was learned."""
    lessons = sizes.lessons
    sizes.refused(topic)
    sizes.learn()
    sizes.drained()
    return sizes.lessons > lessons


def test_batches_become_smaller_until_one_message_is_at_fault() -> None:
    """Then, and only then, a message of its size is known to be too large."""
    sizes = Sizes(16_000, cut="dead")
    assert not sizes.is_watched("out")
    assert refused(sizes, "out")
    assert refused(sizes, "out")
    assert sizes.most("out") == 16_000
    assert not sizes.add("out", message(600))
    assert not sizes.has_room("out", message(600))
    sizes.drained()
    assert sizes.has_room("out", message(1500))
    assert sizes.add("out", message(1500))
    assert refused(sizes, "out")
    assert sizes.most("out") == 1499
    assert sizes.most("dead") == 16_000


def test_a_message_that_can_be_cut_is_cut_to_much_less() -> None:
    """Else a dead letter would be tried a byte shorter, again and again."""
    sizes = Sizes(4000, cut="dead")
    refused(sizes, "dead")
    sizes.add("dead", message(2000))
    refused(sizes, "dead")
    assert sizes.most("dead") == 500


def test_what_was_sent_before_the_last_lesson_teaches_nothing() -> None:
    """Its batches were larger than those that are tried now."""
    sizes = Sizes(4000, cut="dead")
    sizes.refused("out")
    sizes.learn()
    assert not sizes.has_room("out", message(100))
    sizes.refused("out")
    sizes.learn()
    sizes.drained()
    assert not sizes.add("out", message(900))


def test_what_a_broken_transaction_says_late_is_learned() -> None:
    """Its abort begins before the refusals are told."""
    sizes = Sizes(4000, cut="dead")
    refused(sizes, "out")
    assert sizes.add("out", message(1500))
    sizes.learn()
    assert sizes.lessons == 1
    assert refused(sizes, "out")
    assert sizes.most("out") == 1499


def test_a_missing_library_is_named() -> None:
    """With the command that installs it."""
    program = "import sys; sys.modules['confluent_kafka'] = None; import skdeploy.stream.kafka"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "confluent-kafka is not installed: run pip install 'skdeploy[streaming]'" in done.stderr
