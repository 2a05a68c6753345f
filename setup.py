"""Packaging: one import package, with the contract and the handlers installed inside it."""

from pathlib import Path

from setuptools import find_packages, setup

# `handlers/` and `openapi/` stay visible at the top of the repository, but are installed below
# `airflow_rest_api`: a top-level `handlers` in site-packages would shadow one beside a user's DAGs.
PACKAGE_DIR = {
    "airflow_rest_api": "airflow_rest_api",
    "airflow_rest_api.handlers": "handlers",
    "airflow_rest_api.openapi": "openapi",
}

POSTGRES = ["apache-airflow-providers-postgres>=6"]
FAB = ["apache-airflow-providers-fab>=3.10"]
GIT = ["apache-airflow-providers-git>=1.0"]
# Celery 5.7 has no `celery.backends.database.retry`, which the provider imports (3.26).
CELERY = ["apache-airflow-providers-celery>=3.15", "celery[redis]>=5.5,<5.7", "flower>=2"]

setup(
    name="airflow-rest-api",
    version="0.1.0",
    description="An OpenAPI-first REST service for Apache Airflow 3",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    package_dir=PACKAGE_DIR,
    packages=[
        "airflow_rest_api.handlers",
        "airflow_rest_api.openapi",
        *find_packages(include=["airflow_rest_api", "airflow_rest_api.*"]),
    ],
    package_data={
        "airflow_rest_api": ["py.typed"],
        "airflow_rest_api.web": ["page/*"],
        "airflow_rest_api.storage": ["alembic.ini", "migrations/script.py.mako"],
        "airflow_rest_api.openapi": ["*.yaml", "paths/*.yaml", "components/*.yaml", "components/*/*.yaml"],
    },
    install_requires=[
        "apache-airflow>=3.3,<3.4",
        "connexion[flask,swagger-ui,uvicorn]>=3.3,<3.4",
        "flask>=3.1,<4",
        "flask-jwt-extended>=4.7,<5",
        "jsonschema-rs>=0.30",
        "orjson>=3.10",
        "prometheus-client>=0.20",
        "psutil>=5.9",
        "python-multipart>=0.0.32",
        "PyYAML>=6",
        "swagger-ui-bundle>=1.1",
        "tabulate>=0.9",
        "uvicorn>=0.54",
    ],
    extras_require={
        "celery": CELERY,
        "fab": FAB,
        "git": GIT,
        "ldap": [*FAB, "python-ldap>=3.4,<4"],
        "postgres": POSTGRES,
        "dev": [
            *CELERY,
            *FAB,
            *GIT,
            *POSTGRES,
            "apache-airflow-client==3.3.2",
            "build>=1.2",
            "httpx>=0.27",
            "mypy>=1.15",
            "openapi-spec-validator>=0.7",
            "playwright>=1.50",
            "pytest>=8",
            "pytest-cov>=6",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "ruff>=0.11",
            "schemathesis>=4.3",
            "setuptools>=77",
            "types-PyYAML",
            "types-psutil",
            "types-requests",
        ],
    },
    entry_points={
        "airflow.plugins": ["airflow_rest_api = airflow_rest_api.plugin:RestApiPlugin"],
        "console_scripts": ["airflow-rest-api = airflow_rest_api.cli:main"],
    },
)
