"""What the service goes by: flags, then the environment, then a TOML file, then defaults."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from gpu_kmeans.errors import FileProblem, InvalidParam
from gpu_kmeans.service.cors import ANY

__all__ = ["DEFAULT_FILE", "Configuration", "Settings", "configure"]

PREFIX = "GPU_KMEANS_"
DEFAULT_FILE = Path("gpu-kmeans.toml")
ROOT_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")
ORIGIN = re.compile(r"https?://([a-z0-9.-]{1,253}|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
OWN_PATHS = ("/v1", "/assets", "/livez", "/readyz", "/metrics")
LISTS = {
    "allowed_hosts": "films.example",
    "cors_origins": "https://films.example",
    "trusted_proxies": "10.0.0.0/8",
}
"""Settings that are lists, and an example of each."""
OTHER_VARIABLES = {"CONFIG", "INSTRUCTIONS", "TRACEBACK", "TMDB"}
"""Names after the prefix that others read."""

Bytes = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]


class Settings(BaseSettings):
    """Every setting of the service, checked."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    data: Path = Field(Path("gpu-kmeans-data"), description="folder of all data")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: Annotated[int, Field(ge=0, le=65_535)] = Field(8000, description="0: any free one")
    backend: Literal["auto", "cpu", "gpu"] = Field("auto", description="of fits that name none")
    key: SecretStr | None = Field(None, description="a key that may read and write")
    require_keys: bool = Field(False, description="also on loopback, as behind a proxy")
    allowed_hosts: tuple[str, ...] = Field(
        (), description="more names that it is reached by; JSON in the environment"
    )
    trusted_proxies: tuple[str, ...] = Field(
        (), description="addresses or networks whose X-Forwarded-For and -Host count; JSON"
    )
    cors_origins: tuple[str, ...] = Field(
        (), description="other sites whose pages may use it, such as https://films.example; JSON"
    )
    client_requests_per_minute: Annotated[int, Field(ge=0, le=1_000_000_000)] = Field(
        0, description="by key, or by address without one; 0: any number"
    )
    root_path: str = Field("", description="path that a proxy puts before ours, such as /clusters")
    max_upload_bytes: Bytes = Field(256 << 20, description="of an uploaded file")
    max_table_bytes: Bytes = Field(1 << 30, description="of a table's cells, unpacked")
    max_row_bytes: Bytes = Field(96 << 20, description="of a row's cells, unpacked")
    max_cell_bytes: Bytes = Field(64 << 20, description="of one cell, unpacked")
    max_expansion: Count = Field(
        100, description="times its size that an upload may hold, once beyond 64 MiB"
    )
    max_columns: Count = Field(1_000, description="of an uploaded table")
    max_matrix_columns: Count = Field(1_000_000, description="of a matrix, or a list of numbers")
    max_distinct: Count = Field(1_000_000, description="different names in a column of lists")
    max_body_bytes: Bytes = Field(4 << 20, description="of any other request")
    max_answer_bytes: Bytes = Field(16 << 20, description="of an answer that is no download")
    max_text_characters: Count = Field(
        2_000, description="of a text among others; it is marked as cut beyond"
    )
    max_header_bytes: Bytes = Field(128 << 10, description="of a request's line and headers")
    max_rows: Count = Field(1_000_000, description="of an uploaded table")
    max_batch: Count = Field(1_000, description="texts in one prediction")
    max_queue: Count = Field(20, description="jobs that wait")
    max_connections: Count = Field(2_000, description="connections at a time")
    max_concurrent: Count = Field(256, description="requests at a time, beside event streams")
    max_streams: Count = Field(256, description="event streams at a time")
    max_uploads: Count = Field(4, description="uploads at a time")
    max_client_connections: Count = Field(400, description="connections of one client")
    max_client_requests: Count = Field(
        128, description="requests of one client; 3/4 of max_concurrent where that is less"
    )
    max_client_streams: Count = Field(16, description="event streams of one client")
    max_client_uploads: Count = Field(3, description="uploads of one client")
    max_questions: Count = Field(
        16, description="questions and edits at a time that need a process of their own"
    )
    max_client_questions: Count = Field(8, description="such questions of one client")
    keep_versions: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        0, description="newest versions of a model that stay, beside the active one; 0: all"
    )
    max_loaded_models: Count = Field(4, description="versions kept in memory")
    max_loaded_bytes: Bytes = Field(2 << 30, description="of all versions kept in memory")
    max_model_bytes: Bytes = Field(1 << 30, description="of one version in memory")
    header_seconds: Seconds = Field(10, description="until a request's headers are here")
    body_seconds: Seconds = Field(20, description="between parts of a request's body")
    drain_seconds: Annotated[float, Field(ge=0, le=3_600)] = Field(
        0, description="not ready, but still accepting, after SIGTERM"
    )
    shutdown_seconds: Seconds = Field(30, description="for requests in flight to finish")
    heartbeat_seconds: Seconds = Field(15, description="between signs of life of an event stream")
    fit_seconds: Seconds = Field(3_600, description="that a fit may take")
    fit_memory_bytes: Bytes = Field(8 << 30, description="of memory that a fit may take")
    check_seconds: Seconds = Field(900, description="that checking an upload may take")
    max_check_memory_bytes: Bytes = Field(4 << 30, description="of memory for such a check")

    @field_validator("host")
    @classmethod
    def _check_host(cls, host: str) -> str:
        if not host or host != host.strip():
            raise ValueError("must be a name or an address")
        return host

    @field_validator("key")
    @classmethod
    def _check_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not key.get_secret_value().strip():
            raise ValueError("must not be blank")
        return key

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            try:
                ip_network(proxy, strict=False)
            except ValueError:
                raise ValueError(
                    f"{proxy!r:.60} is no address and no network, such as 10.0.0.0/8"
                ) from None
        return proxies

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin != ANY and not ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r:.60} is no origin, such as https://films.example or "
                    "http://localhost:3000 (small letters, no path), and not *"
                )
        return origins

    @model_validator(mode="after")
    def _check_any_origin(self) -> Self:
        if ANY in self.cors_origins and not self.needs_keys:
            raise ValueError(
                "cors_origins=* would let every page that anyone opens change what is here: name "
                "the origins, or ask for keys (require_keys)"
            )
        return self

    @field_validator("root_path")
    @classmethod
    def _check_root(cls, path: str) -> str:
        path = path.rstrip("/")
        if not ROOT_PATH.fullmatch(path):
            raise ValueError("must be a path such as /clusters, of letters, digits and -._~")
        if any(path == own or path.startswith(f"{own}/") for own in OWN_PATHS):
            raise ValueError(f"must not begin as the service's own addresses do: {OWN_PATHS}")
        return path

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: Any, *others: Any, **named: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what :func:`configure` gathered, and look nowhere else."""
        return (init_settings,)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def needs_keys(self) -> bool:
        """Whether a request must show a key."""
        return self.require_keys or not self.is_loopback


@dataclass(frozen=True)
class Configuration:
    """The settings, and where each value came from."""

    settings: Settings
    origins: dict[str, str]

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Name, value (secrets hidden), origin and meaning of each setting."""
        return [
            (
                name,
                _shown(getattr(self.settings, name)),
                self.origins[name],
                field.description or "",
            )
            for name, field in Settings.model_fields.items()
        ]


def configure(
    flags: Mapping[str, Any], file: Path | None = None, environ: Mapping[str, str] = os.environ
) -> Configuration:
    """Gather the settings.

    Parameters
    ----------
    flags : mapping
        Those that were given.
    file : Path, optional
        TOML; else ``GPU_KMEANS_CONFIG``, else ``gpu-kmeans.toml`` here if there is one.

    Raises
    ------
    InvalidParam
        A name is not a setting, or a value is outside its domain; the message says where
        it stands.
    FileProblem, InvalidParam
        The TOML file cannot be read.
    """
    if file is None and environ.get(f"{PREFIX}CONFIG"):
        file = Path(environ[f"{PREFIX}CONFIG"])
    if file is None and DEFAULT_FILE.exists():
        file = DEFAULT_FILE
    _check_names(environ)
    sources = [
        ("flag", dict(flags)),
        ("environment", _from_environment()),
        (str(file), {} if file is None else _from_file(file)),
    ]
    values: dict[str, Any] = {}
    origins = dict.fromkeys(Settings.model_fields, "default")
    for origin, layer in reversed(sources):
        values |= layer
        origins |= dict.fromkeys(layer, origin)
    try:
        return Configuration(Settings(**values), origins)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        where = origins.get(name, "flag")
        if first["type"] == "extra_forbidden":
            raise InvalidParam(
                f"{name!r} in {where} is not a setting; `gpu-kmeans config` lists them all"
            ) from None
        raise InvalidParam(f"{name} ({where}): {first['msg']}") from None


def _from_environment() -> dict[str, Any]:
    try:
        return EnvSettingsSource(Settings)()
    except SettingsError as error:  # of the settings that are lists; it names which
        name = next((name for name in LISTS if name in str(error)), "allowed_hosts")
        example = LISTS[name]
        raise InvalidParam(f'{name} (environment): must be JSON, such as ["{example}"]') from None


def _check_names(environ: Mapping[str, str]) -> None:
    known = {name.upper() for name in Settings.model_fields} | OTHER_VARIABLES
    for variable in environ:
        if variable.startswith(PREFIX) and variable.removeprefix(PREFIX) not in known:
            raise InvalidParam(
                f"the environment's {variable} is not a setting; `gpu-kmeans config` lists them all"
            )


def _from_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileProblem(f"{file} cannot be read: {error.strerror}; check --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidParam(f"{file} is not TOML: {error}") from None


def _shown(value: Any) -> str:
    if isinstance(value, tuple | str):
        return (value if isinstance(value, str) else ", ".join(value)) or "none"
    return "none" if value is None else str(value)
