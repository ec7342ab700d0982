"""How many examples the property tests try: few and always the same in the suite, many and new ones with a profile.

``python -m pytest --hypothesis-profile=faults tests/prepare/test_mutations.py`` is the long run.
"""

from hypothesis import HealthCheck, settings

SLOW_MACHINES = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.differing_executors)

settings.register_profile(
    "suite", max_examples=40, derandomize=True, deadline=None, database=None, suppress_health_check=SLOW_MACHINES
)
settings.register_profile("faults", settings.get_profile("suite"), max_examples=20_000, derandomize=False, print_blob=True)
settings.load_profile("suite")
