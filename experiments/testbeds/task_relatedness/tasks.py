"""The 17 single-image tasks of the Taskonomy dictionary (Zamir et al., CVPR 2018) that Song et al. (2023) compare."""

FAMILIES = {
    "2D": ("autoencoding", "denoising", "edge_texture", "keypoints2d", "segment_unsup2d"),
    "3D": (
        "curvature",
        "edge_occlusion",
        "keypoints3d",
        "reshading",
        "depth_zbuffer",
        "depth_euclidean",
        "normal",
        "segment_unsup25d",
    ),
    "geometric": ("room_layout", "vanishing_point"),
    "semantic": ("segment_semantic", "class_object"),
}
"""Taskonomy's own families of tasks, as its tree shows them."""

TASKS = (
    "autoencoding",
    "curvature",
    "denoising",
    "edge_texture",
    "edge_occlusion",
    "keypoints2d",
    "keypoints3d",
    "reshading",
    "depth_zbuffer",
    "depth_euclidean",
    "normal",
    "room_layout",
    "segment_unsup25d",
    "segment_unsup2d",
    "vanishing_point",
    "segment_semantic",
    "class_object",
)
"""In the order of the published matrices."""
