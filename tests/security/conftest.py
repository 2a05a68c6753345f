"""What the tests of security share: small applications, as those of the web frame."""

from tests.web.conftest import build

__all__ = ["build"]
