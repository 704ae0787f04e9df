"""The test kit of tasks, on the task that these tests use, with and without a second network."""

import pytest

from cemi_learn.testing import TaskTests


class TestStripes(TaskTests):
    @pytest.fixture(autouse=True)
    def _stripes(self, stripes):
        self.stripes = stripes

    def make(self):
        return self.stripes()


class TestStripesWithACritic(TestStripes):
    def make(self):
        return self.stripes(critic=True)
