"""The page of scenario families says what the families say."""

from pathlib import Path

from worldsim.scene import scenarios

PAGE = Path(__file__).parent.parent / "docs" / "guide" / "scenarios.md"


def test_the_page_of_families_is_up_to_date():
    text = PAGE.read_text(encoding="utf-8")
    for name, scenario in scenarios().items():
        assert f"## {name}\n" in text
        assert scenario.summary in text
        for key, (inside, outside) in scenario.ranges.items():
            assert f"| {key} | {inside} | {outside} |" in text, f"{name}.{key}"
