"""A thread ahead of the work and one behind it: the order, the errors and no more than one item more than without."""

import threading
import time

import pytest

from linops_video.errors import FileError
from linops_video.films.threads import ahead, behind


def test_one_item_is_made_ahead():
    made = []

    def items():
        for number in range(6):
            made.append((number, threading.current_thread()))
            yield number

    used = []
    for number in ahead(items()):
        time.sleep(0.02)
        used.append(number)
        assert len(made) <= number + 2
    assert used == [number for number, _ in made] == list(range(6))
    assert threading.current_thread() not in [thread for _, thread in made]


def test_an_item_is_put_away_while_the_next_one_is_made():
    together = threading.Barrier(2, timeout=10)  # breaks unless two threads wait at once

    def items():
        for number in range(6):
            if number:
                together.wait()
            yield number

    def put(number: int) -> int:
        if number < 5:
            together.wait()
        return 10 * number

    assert list(behind(put, items())) == [0, 10, 20, 30, 40, 50]


@pytest.mark.parametrize("error", [FileError("a film ends"), KeyboardInterrupt()])
def test_errors_of_the_thread_are_raised_in_the_loop(error):
    def broken(*_: object):
        yield 1
        raise error

    def put(number: int) -> None:
        raise error

    with pytest.raises(type(error)):
        list(ahead(broken()))
    with pytest.raises(type(error)):
        list(behind(put, [1, 2]))


def test_what_is_solved_is_put_away_before_an_error_goes_on():
    kept = []

    def items():
        yield from (1, 2)
        raise KeyboardInterrupt

    def put(number: int) -> None:
        time.sleep(0.02)
        kept.append(number)

    with pytest.raises(KeyboardInterrupt):
        list(behind(put, items()))
    assert kept == [1, 2]


def test_no_thread_is_left():
    before = threading.active_count()
    for number in ahead(iter(range(5))):
        for _ in behind(str, range(3)):
            break
        if number == 2:
            break
    assert threading.active_count() == before
