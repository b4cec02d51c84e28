import dataclasses
import json

import numpy as np
import pytest
import torch
from data_cases import make_rollout

from worldsim.data import DataError, decode_rollout, encode_rollout
from worldsim.data.encode import PARTS, wanted_members


def same_arrays(a, b):
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))


def test_all_but_lossy_pictures_come_back_exactly():
    rollout = make_rollout()
    back = decode_rollout(encode_rollout(rollout, rgb="exact"))
    assert back.scene == rollout.scene
    assert (back.video == rollout.video).all()
    assert (back.ids == rollout.ids).all()
    assert np.abs(back.depth - rollout.depth).max() < 6e-5
    for name in ("position", "orientation", "linear_velocity", "angular_velocity", "presence"):
        assert torch.equal(getattr(back.trajectory, name), getattr(rollout.trajectory, name))
        assert getattr(back.trajectory, name).dtype == torch.float64
    assert back.trajectory.dt == rollout.trajectory.dt
    assert same_arrays(back.contacts, rollout.contacts)
    assert (back.actions == rollout.actions).all()
    assert (back.engine, back.engine_version) == ("toy", "1.2")
    assert back.events == [{"kind": "contact", "frame": 3}]
    assert back.caption == {"prompt": "two bodies"}
    assert back.info == {"success": True}


def test_equal_rollouts_give_equal_bytes():
    assert encode_rollout(make_rollout(3)) == encode_rollout(make_rollout(3))
    assert encode_rollout(make_rollout(3)) != encode_rollout(make_rollout(4))


def test_rollouts_without_pictures():
    rollout = make_rollout(rendered=False)
    members = encode_rollout(rollout)
    assert not {"video.mp4", "ids.zst", "depth.zst"} & set(members)
    back = decode_rollout(members)
    assert back.video.shape == (0, 16, 24, 3)
    assert back.trajectory.num_frames == 6


def test_only_the_parts_asked_for_are_needed():
    members = encode_rollout(make_rollout())
    few = {name: members[name] for name in wanted_members(("ids", "trajectory"))}
    assert len(few) == 4
    back = decode_rollout(few, parts=("ids", "trajectory"))
    assert back.ids.shape == (6, 16, 24)
    assert back.video.shape == (0, 16, 24, 3)
    assert len(back.contacts) == 0
    with pytest.raises(ValueError, match="parts: must be among"):
        wanted_members(("rgb",))


@pytest.mark.parametrize("member", [*PARTS.values(), "scene.json", "meta.json"])
def test_a_missing_or_damaged_member_is_named(member):
    members = encode_rollout(make_rollout())
    with pytest.raises(DataError, match=rf"here/{member}"):
        decode_rollout({k: v for k, v in members.items() if k != member}, where="here")
    with pytest.raises(DataError, match=rf"here/{member}"):
        decode_rollout({**members, member: members[member][: len(members[member]) // 2]}, where="here")


@pytest.mark.parametrize("member", ["scene.json", "meta.json"])
def test_a_newer_version_is_refused_with_the_remedy(member):
    members = encode_rollout(make_rollout())
    document = json.loads(members[member])
    document["version"] += 1
    with pytest.raises(DataError, match=rf"{member}.*version.*at most 1.*upgrade"):
        decode_rollout({**members, member: json.dumps(document).encode()})


def test_members_that_disagree_are_refused():
    members, longer = encode_rollout(make_rollout()), encode_rollout(make_rollout(frames=7))
    for name in ("video.mp4", "ids.zst", "depth.zst", "trajectory.safetensors.zst"):
        with pytest.raises(DataError, match=f"{name}: must have shape"):
            decode_rollout({**members, name: longer[name]})


def test_what_json_has_no_word_for_is_refused():
    with pytest.raises(ValueError, match="info: must be JSON values"):
        encode_rollout(dataclasses.replace(make_rollout(), info={"x": float("nan")}))
    with pytest.raises(ValueError, match="events: must be JSON values"):
        encode_rollout(dataclasses.replace(make_rollout(), events=[{"x": object()}]))
    with pytest.raises(ValueError, match="rgb: must be one of"):
        encode_rollout(make_rollout(), rgb="best")
