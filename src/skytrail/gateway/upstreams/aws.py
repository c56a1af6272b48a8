"""AWS as an upstream: the endpoint of a call, and the credentials that sign it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from botocore.exceptions import BotoCoreError
from botocore.hooks import HierarchicalEmitter
from botocore.loaders import Loader
from botocore.regions import EndpointResolverBuiltins, EndpointRulesetResolver
from botocore.session import Session

from ...call import Call
from ...errors import ServiceError
from ...wire import models
from .targets import Credentials

#: A bucket stands in the path, which every endpoint of S3's takes.
_BUILTINS = {
    EndpointResolverBuiltins.AWS_USE_FIPS: False,
    EndpointResolverBuiltins.AWS_USE_DUALSTACK: False,
    EndpointResolverBuiltins.AWS_STS_USE_GLOBAL_ENDPOINT: False,
    EndpointResolverBuiltins.AWS_S3_USE_GLOBAL_ENDPOINT: False,
    EndpointResolverBuiltins.AWS_S3_ACCELERATE: False,
    EndpointResolverBuiltins.AWS_S3_FORCE_PATH_STYLE: True,
    EndpointResolverBuiltins.AWS_S3_USE_ARN_REGION: False,
    EndpointResolverBuiltins.AWS_S3CONTROL_USE_ARN_REGION: False,
    EndpointResolverBuiltins.AWS_S3_DISABLE_MRAP: True,
}


@dataclass(frozen=True, slots=True)
class Place:
    url: str
    #: What the signature names.
    region: str
    service: str


class Aws:
    """Both may read files, and credentials may come over the network: so both are asked in a thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._credentials: Any = None

    def place(self, call: Call) -> Place:
        assert call.route is not None
        service, operation = call.route.service, call.route.operation
        # S3's own rules would put the bucket into the host, and the request has it in its path.
        parameters = {} if service.name == "s3" else (call.input or {})
        try:
            with self._lock:
                endpoint = _resolver(service.name, call.region).construct_endpoint(operation, parameters, {})
        except (BotoCoreError, ValueError) as error:
            raise ServiceError("BadGateway", f"AWS has no endpoint for this call: {error}", status=502) from error
        return Place(_prefixed(call, endpoint.url.rstrip("/")), *_scope(call, endpoint.properties))

    def credentials(self) -> Credentials:
        """By botocore's chain: the environment, its files, a role of the machine's."""
        with self._lock:
            try:
                if self._credentials is None:
                    self._credentials = Session().get_credentials()
                found = self._credentials.get_frozen_credentials() if self._credentials is not None else None
            except BotoCoreError as error:
                raise ServiceError("BadGateway", f"AWS cannot be asked: no credentials: {error}", status=502) from error
        if found is None or not found.access_key or not found.secret_key:
            raise ServiceError("BadGateway", "AWS cannot be asked: no credentials are configured.", status=502)
        return Credentials(found.access_key, found.secret_key, found.token or "")


@lru_cache(maxsize=256)
def _resolver(service: str, region: str) -> EndpointRulesetResolver:
    loader = _loader()
    return EndpointRulesetResolver(
        endpoint_ruleset_data=loader.load_service_model(service, "endpoint-rule-set-1"),
        partition_data=loader.load_data("partitions"),
        service_model=models.service(service).model,
        builtins={**_BUILTINS, EndpointResolverBuiltins.AWS_REGION: region},
        client_context={},
        event_emitter=HierarchicalEmitter(),
    )


@lru_cache(maxsize=1)
def _loader() -> Loader:
    return Loader([Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)


def _scope(call: Call, properties: dict[str, Any]) -> tuple[str, str]:
    assert call.route is not None
    region, service = call.region, call.route.service.signing_name
    schemes = properties.get("authSchemes") or []
    if not schemes:
        return region, service
    fitting = next((scheme for scheme in schemes if scheme.get("name") == "sigv4"), None)
    if fitting is None:
        names = ", ".join(str(scheme.get("name")) for scheme in schemes)
        raise ServiceError("BadGateway", f"AWS wants a signature here that is not supported: {names}.", status=502)
    return fitting.get("signingRegion") or region, fitting.get("signingName") or service


def _prefixed(call: Call, url: str) -> str:
    """With what some operations put before the host: `data-`, an account's id."""
    assert call.route is not None
    template = (call.route.operation.endpoint or {}).get("hostPrefix")
    if not template:
        return url
    try:
        prefix = template.format(**(call.input or {}))
    except KeyError:
        return url
    scheme, _, host = url.partition("://")
    return url if host.startswith(prefix) else f"{scheme}://{prefix}{host}"
