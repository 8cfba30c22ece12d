"""Rooms and their targets: exact geometry, seeds, parts, the cache."""

from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import torch

from experiments.storage.identity import described
from experiments.testbeds.task_relatedness.rooms import CLASSES, KINDS, ROOM, rays, scene, targets
from experiments.testbeds.task_relatedness.rooms import samples as rooms
from experiments.testbeds.task_relatedness.tasks import TASKS

SCENES = range(6)


@pytest.fixture(scope="module")
def views():
    return [rays.show(scene.draw(0, index), 64) for index in SCENES]


@pytest.fixture(scope="module")
def made(views):
    return [targets.targets(view) for view in views]


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(rooms, "SIZES", {"mini": {"references": 3, "evaluate": 2, "fit": 2, "train": 4}})


def points(seen):
    """What each pixel sees, in camera coordinates."""
    return seen.rays * seen.depth


def test_a_scene_depends_on_its_seed_and_number_alone():
    one, same, other, another = (rays.show(scene.draw(*at), 32).image for at in [(0, 4), (0, 4), (0, 5), (1, 4)])
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, another)


def test_every_task_has_a_finite_target_that_half_precision_holds_and_that_differs_between_scenes(made):
    for task in TASKS:
        stack = np.stack([row[task] for row in made])
        assert np.isfinite(stack.astype(np.float16)).all(), task
        assert stack.std(0).max() > 0, task
        assert stack.shape[2:] in ((), (32, 32)), task
    assert list(made[0]) == list(TASKS)


def test_images_lie_in_the_unit_range_and_are_lit(views):
    for view in views:
        assert 0 <= view.image.min() <= view.image.max() <= 1
        assert 0.25 < view.image.mean() < 0.75
        assert view.image.std() > 0.03


def test_the_camera_stands_in_the_room_and_not_in_the_furniture(views):
    for view in views:
        assert (abs(view.scene.camera.position - view.scene.things.centres[0]) < view.scene.things.halves[0]).all()
        assert view.fine.depth.min() > 0.2


def test_every_pixel_sees_a_surface_inside_the_room(views):
    for view in views:
        camera, room = view.scene.camera, view.scene.things
        seen = camera.position[:, None] + camera.axes.T @ points(view.fine).reshape(3, -1)
        assert (abs(seen - room.centres[0][:, None]) < room.halves[0][:, None] + 1e-3).all()


def test_euclidean_depth_is_the_length_of_the_ray_to_what_z_depth_says(views, made):
    for view, row in zip(views, made, strict=True):
        expected = np.linalg.norm(view.coarse.rays * row["depth_zbuffer"], axis=0)
        assert row["depth_euclidean"][0] == pytest.approx(expected, rel=1e-5)
        assert (row["depth_euclidean"] >= row["depth_zbuffer"]).all()


def test_normals_have_length_one_face_the_camera_and_agree_with_the_derivatives_of_depth(views, made):
    for view, row in zip(views, made, strict=True):
        normal = row["normal"]
        assert np.linalg.norm(normal, axis=0) == pytest.approx(1, abs=1e-5)
        assert ((normal * view.coarse.rays).sum(0) < 1e-6).all()
        where = points(view.fine)
        across, down = (np.roll(where, -1, axis) - np.roll(where, 1, axis) for axis in (2, 1))
        found = np.cross(down, across, axis=0)
        found /= np.linalg.norm(found, axis=0)
        surface = view.fine.surface
        flat = np.stack([np.roll(surface, shift, axis) == surface for shift in (1, -1) for axis in (0, 1)]).all(0)
        turning = np.stack(
            [abs(np.roll(view.fine.normal, s, a) - view.fine.normal).max(0) for s in (1, -1) for a in (1, 2)]
        )
        inner = flat & (turning.max(0) < 1e-4)
        inner[[0, -1]] = inner[:, [0, -1]] = False
        assert inner.mean() > 0.5
        assert (found * view.fine.normal).sum(0)[inner] == pytest.approx(1, abs=1e-3)


def test_reshading_is_one_where_a_surface_faces_the_camera_and_never_negative(views, made):
    for view, row in zip(views, made, strict=True):
        cosine = -(row["normal"] * view.coarse.rays).sum(0) / np.linalg.norm(view.coarse.rays, axis=0)
        assert row["reshading"][0] == pytest.approx(cosine, abs=1e-5)
        assert 0 <= row["reshading"].min() <= row["reshading"].max() <= 1 + 1e-6


def test_planes_have_no_curvature_and_no_occlusion_edges_and_spheres_curve_by_their_radius(views):
    for view in views:
        fine = view.fine
        same = np.stack([np.roll(fine.surface, s, a) == fine.surface for s in (1, -1) for a in (0, 1)]).all(0)
        still = np.stack([abs(np.roll(fine.normal, s, a) - fine.normal).max(0) for s in (1, -1) for a in (1, 2)]).max(0)
        plane = (same & (still < 1e-4)).reshape(32, 4, 32, 4).all((1, 3))
        plane[[0, -1]] = plane[:, [0, -1]] = False
        assert abs(targets.curvature(fine))[:, plane].max() < 1e-2
        assert targets.edge_occlusion(fine)[0, plane].max() < 1e-3
    radii = {
        float(v.scene.things.halves[n, 0])
        for v in views
        for n in range(v.scene.things.boxes, len(v.scene.things.halves))
    }
    most = max(np.expm1(targets.curvature(view.fine)).max() for view in views)
    assert 1 / max(radii) < most


def test_semantic_shares_sum_to_one_and_the_classes_present_are_those_of_the_buffers(views, made):
    for view, row in zip(views, made, strict=True):
        assert row["segment_semantic"].sum(0) == pytest.approx(1)
        seen = set(view.scene.looks.kind[view.fine.surface].ravel())
        assert {i for i, share in enumerate(row["segment_semantic"]) if share.any()} == seen
        furniture = {i - len(ROOM) for i in seen if i >= len(ROOM)}
        assert {i for i, share in enumerate(row["class_object"]) if share} == furniture
        assert row["class_object"].sum() == pytest.approx(1 if furniture else 0)
    assert len(CLASSES) == len(ROOM) + len(KINDS) == made[0]["segment_semantic"].shape[0]


def test_the_layout_tells_where_rays_to_the_walls_end(views, made):
    for view, row in zip(views, made, strict=True):
        front, back, left, right, floor, ceiling, sine, cosine, pitch = row["room_layout"].astype(float)
        sizes = sorted(2 * view.scene.things.halves[0])
        assert sorted([front + back, left + right, floor + ceiling]) == pytest.approx(sizes, rel=1e-4)
        assert min(front, back, left, right, floor, ceiling) > 0
        assert sine**2 + cosine**2 == pytest.approx(1, abs=1e-5)
        assert cosine > 0.7  # the front is the wall that the camera faces most
        reach, thing = rays.cast(view.scene.things, view.scene.camera.position[:, None], np.float32([[0], [0], [1]]))
        assert thing[0] != 0 or reach[0] == pytest.approx(ceiling, rel=1e-4)
        assert pitch == pytest.approx(view.scene.camera.axes[2][2], abs=1e-6)


def test_vanishing_directions_are_unit_orthogonal_and_agree_with_the_normals_of_the_walls(views, made):
    for view, row in zip(views, made, strict=True):
        front, up = row["vanishing_point"][:3], row["vanishing_point"][3:]
        assert [front @ front, up @ up, front @ up] == pytest.approx([1, 1, 0], abs=1e-5)
        axes = np.stack([front, up, np.cross(front, up)])
        walls = view.coarse.normal[:, view.coarse.surface < len(ROOM)]
        assert abs(axes @ walls).max(0) == pytest.approx(1, abs=1e-4)


def test_segments_are_symmetric_and_cover_flat_parts(views, made):
    for row in made:
        for task in ("segment_unsup2d", "segment_unsup25d"):
            same = row[task].astype(bool)
            assert set(np.unique(row[task])) <= {0, 1}
            assert same.mean() > 0.3
            right, down_right = same[0], same[2]
            # Two steps within a segment, right and then down, end in it.
            both = right[:-1, :-1] & same[1][:-1, 1:]
            assert down_right[:-1, :-1][both].all()


def test_parts_have_scenes_of_their_own_and_come_back_as_they_were_made(tiny, tmp_path):
    parts = {part: rooms.load(part, cache=str(tmp_path), workers=1) for part in rooms.SIZES["mini"]}
    seen = [image.numpy().tobytes() for part in parts.values() for image in part.images]
    assert len(set(seen)) == len(seen) == 11
    again = rooms.load("fit", cache=str(tmp_path), workers=1)
    assert torch.equal(again.images, parts["fit"].images)
    view = rays.show(scene.draw(0, 5), 64)  # references and evaluate come before
    assert np.abs(view.image - parts["fit"].images[0].numpy()).max() < 1e-6
    exact = targets.targets(view)
    for task in TASKS:
        assert parts["fit"].targets[task][0].numpy() == pytest.approx(exact[task], rel=2e-3, abs=2e-3)
    pool = rooms.references(cache=str(tmp_path))
    assert pool.labels is None
    assert pool.inputs.shape == (3, 3, 64, 64)


def test_unknown_parts_and_scales_are_refused_and_a_damaged_file_too(tiny, tmp_path):
    for settings in ({"part": "nosuch"}, {"part": "fit", "scale": "huge"}):
        with pytest.raises(ValueError, match="must be one of"):
            rooms.load(cache=str(tmp_path), **settings)
    rooms.load("fit", cache=str(tmp_path), workers=1)
    (file,) = tmp_path.glob("rooms/fit-*.safetensors")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"is damaged.*delete it and run again"):
        rooms.load("fit", cache=str(tmp_path), workers=1)


def test_two_processes_that_ask_at_once_get_one_file(tmp_path):
    with ProcessPoolExecutor(2) as pool:
        first, second = pool.map(ask, [str(tmp_path)] * 2)
    assert first == second
    assert len(list(tmp_path.glob("rooms/*.safetensors"))) == 1


def ask(cache):
    rooms.SIZES = {"mini": {"references": 2}}
    return rooms.load("references", cache=cache, workers=1).images.sum().item()


def test_noise_is_seeded_and_stays_in_the_unit_range():
    images = torch.rand(4, 3, 8, 8)
    noisy = rooms.noisy(images, 0)
    assert torch.equal(noisy, rooms.noisy(images, 0))
    assert not torch.equal(noisy, rooms.noisy(images, 1))
    assert noisy.min() >= 0
    assert noisy.max() <= 1
    assert (noisy - images).std() > 0.1


def test_the_contact_sheet_shows_every_task():
    from experiments.testbeds.task_relatedness import contact_sheet

    titles = [axes.get_title() for axes in contact_sheet.sheet(0).axes]
    assert len(titles) == contact_sheet.SCENES * (1 + len(TASKS))
    assert {"image", "depth zbuffer", "vanishing point", "borders 25d"} <= set(titles)


@pytest.mark.parametrize(("zoo", "scale"), [("rooms", "mini"), ("rooms_mid", "mid"), ("taskonomy", "mini")])
def test_reference_points_have_the_scale_of_the_encoders_that_learn_from_rooms(zoo, scale, config):
    samples = config("testbed=task_relatedness", f"testbed/zoo={zoo}")["testbed"]["samples"]
    assert samples["scale"] == scale
    named = described({key: value for key, value in samples.items() if key != "zoo_scale"})
    assert described(samples) == named
    other = {"mini": "mid", "mid": "mini"}[scale]
    if zoo != "taskonomy":
        with pytest.raises(ValueError, match=rf"scale is {other}, and the encoders learn from rooms of scale {scale}"):
            rooms.references(cache="", scale=other, zoo_scale=samples["zoo_scale"])


def test_reference_points_are_of_the_scenes_that_the_encoders_data_seed_draws(config):
    for seed in (0, 3):
        samples = config("testbed=task_relatedness", f"testbed.zoo.data_seed={seed}")["testbed"]["samples"]
        assert samples["seed"] == seed
    assert config("testbed=task_relatedness", "testbed/zoo=taskonomy")["testbed"]["samples"]["seed"] == 0


def test_numbers_that_never_change_are_no_part_of_a_target(monkeypatch):
    from experiments.testbeds.task_relatedness.rooms import standardised

    numbers = torch.randn(50, 6) * 3
    numbers[:, 1] = 0.25
    dense = torch.randn(50, 2, 4, 4)
    made = rooms.Rooms(torch.zeros(50, 3, 8, 8), {task: numbers if "layout" in task else dense for task in TASKS})
    monkeypatch.setattr(standardised.rooms, "load", lambda part, **_: made)
    found = standardised.standardised("fit", cache="none", scale="mini", seed=-1).targets
    assert found["room_layout"].shape == (50, 5)
    assert found["room_layout"].square().mean(0) == pytest.approx(1, abs=1e-4)
    assert found["normal"].square().mean() == pytest.approx(1, abs=1e-4)


def test_encoders_that_learn_from_something_else_take_rooms_of_any_scale(monkeypatch):
    monkeypatch.setattr(rooms, "load", lambda part, *, scale, **settings: rooms.Rooms(torch.zeros(len(scale)), {}))
    for elsewhere in (None, 0.5, "large"):
        assert len(rooms.references(cache="", scale="mid", zoo_scale=elsewhere).inputs) == 3
