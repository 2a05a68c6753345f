"""Mapped tasks: one whose length is known when the file is parsed, one whose length a task decides."""

from __future__ import annotations

from airflow.sdk import dag, task


@dag(schedule=None, tags=["mapped"], is_paused_upon_creation=False)
def mapped():
    @task
    def numbers() -> list[int]:
        return [1, 2, 3]

    @task
    def double(number: int) -> int:
        return number * 2

    @task(map_index_template="{{ word }}")
    def say(word: str) -> str:
        return word

    @task
    def total(values: list[int]) -> int:
        return sum(values)

    total(double.expand(number=numbers()))
    say.expand(word=["one", "two", "three", "four"])


mapped()
