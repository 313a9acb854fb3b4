"""Users described as users: how many requests per second they make.

120 staff, each 6 questions an hour, peak factor 3  ->  120 x 6 / 3600 x 3 = 0.6 requests/s
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UserModel:
    """A population of users.

    Attributes:
        users: people who have the service.
        requests_per_hour: questions of one person in an ordinary working hour.
        peak_factor: how much busier the busiest hour is than the ordinary one.
    """

    users: float
    requests_per_hour: float
    peak_factor: float = 1.0

    @property
    def rate_per_s(self) -> float:
        """Arrivals per second at the peak."""
        return self.users * self.requests_per_hour / 3600 * self.peak_factor

    def users_at(self, rate_per_s: float) -> float:
        """How many such people make this rate at the peak."""
        return rate_per_s * 3600 / (self.requests_per_hour * self.peak_factor)


def concurrent_users(rate_per_s: float, response_s: float, think_s: float) -> float:
    """Users in a closed loop that make this rate: N = X (R + Z), the interactive response law."""
    return rate_per_s * (response_s + think_s)
