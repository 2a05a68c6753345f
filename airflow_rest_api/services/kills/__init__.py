"""Kills: the states that they write, and the processes that they see end."""
