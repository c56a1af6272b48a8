"""S3's objects through the pipeline, without HTTP: `s3("PutObject", Key=..., Body=...)`, in a bucket that is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from skytrail.call import Call, Source, Tls
from skytrail.errors import ServiceError
from skytrail.identity.principals import Identity, root
from skytrail.services.s3 import bodies
from skytrail.wire import models
from skytrail.wire.bodies import Body
from skytrail.wire.http import Request
from skytrail.wire.routing import Route

from .s3_buckets_house import ACCOUNT, REGION, Buckets

T = TypeVar("T")

MIB = 1 << 20


class Objects(Buckets):
    """An error is raised as it is. The last call stays to be looked at."""

    last: Call

    def __init__(self, data: Path, *, bucket: str = "bucket") -> None:
        super().__init__(data)
        self.bucket = bucket
        self("CreateBucket", Bucket=bucket)

    def close(self) -> None:
        self.run(self._settled())
        super().close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    async def ask(
        self,
        operation: str,
        parameters: dict[str, Any],
        headers: dict[str, str] | None = None,
        identity: Identity | None = None,
    ) -> dict[str, Any]:
        service = models.service("s3")
        found = service.operation(operation)
        assert found is not None
        if "Bucket" in found.input_shape.members:
            parameters = {"Bucket": self.bucket, **parameters}
        identity = identity or root(ACCOUNT)
        sent = {"host": "localhost:4566", "authorization": "signed", **(headers or {})}
        self.last = call = Call(
            request=Request("GET", "/", "", {name: value for name, value in sent.items() if value}),
            source=Source("192.0.2.17", tls=Tls("TLSv1.3", "TLS_AES_128_GCM_SHA256")),
            request_id="r",
            event_id="e",
            received=self.clock.time(),
            account=identity.account,
            region=REGION,
            identity=identity,
            route=Route(service, found, service.protocols[0]),
            input=parameters,
        )
        await self.pipeline.perform(call)
        if call.error is not None:
            raise call.error
        output = dict(call.output or {})
        if "Body" in output and not isinstance(output["Body"], bytes):
            output["Body"] = b"".join([piece async for piece in output["Body"]])
        return output

    def __call__(self, operation: str, /, **parameters: Any) -> dict[str, Any]:
        return self.run(self.ask(operation, parameters))

    def refused(self, operation: str, /, **parameters: Any) -> ServiceError:
        with pytest.raises(ServiceError) as caught:
            self(operation, **parameters)
        assert caught.value.code != "InternalFailure"
        return caught.value

    def code(self, operation: str, /, **parameters: Any) -> str:
        return self.refused(operation, **parameters).code

    # Short ways

    def put(self, key: str = "key", body: Any = b"body", **more: Any) -> dict[str, Any]:
        return self("PutObject", Key=key, Body=body, **more)

    def get(self, key: str = "key", **more: Any) -> bytes:
        body: bytes = self("GetObject", Key=key, **more)["Body"]
        return body

    def there(self, key: str = "key", **more: Any) -> bool:
        try:
            self("HeadObject", Key=key, **more)
        except ServiceError as error:
            if error.code != "NoSuchKey":
                raise
            return False
        return True

    def versioning(self, status: str) -> None:
        self("PutBucketVersioning", VersioningConfiguration={"Status": status})

    def keys(self, **more: Any) -> list[str]:
        return [entry["Key"] for entry in self("ListObjectsV2", **more).get("Contents", [])]

    def upload(self, key: str = "key", **more: Any) -> str:
        upload_id: str = self("CreateMultipartUpload", Key=key, **more)["UploadId"]
        return upload_id

    def part(self, upload_id: str, number: int, body: Any, key: str = "key", **more: Any) -> dict[str, Any]:
        sent = self("UploadPart", Key=key, UploadId=upload_id, PartNumber=number, Body=body, **more)
        return {
            "PartNumber": number,
            **{name: value for name, value in sent.items() if name.startswith(("ETag", "Ch"))},
        }

    def uncompleted(self, upload_id: str, parts: Iterable[dict[str, Any]], key: str = "key", **more: Any) -> str:
        """The code of the error that a completion gets."""
        named = {"MultipartUpload": {"Parts": list(parts)}}
        return self.code("CompleteMultipartUpload", Key=key, UploadId=upload_id, **named, **more)

    def complete(
        self, upload_id: str, parts: Iterable[dict[str, Any]], key: str = "key", **more: Any
    ) -> dict[str, Any]:
        return self(
            "CompleteMultipartUpload", Key=key, UploadId=upload_id, MultipartUpload={"Parts": list(parts)}, **more
        )

    # What is on disk

    def files(self) -> list[Path]:
        """The bodies, once removals that are under way have ended."""
        self.run(self._settled())
        return sorted(path for path in (self.data / "objects").rglob("*") if path.is_file())

    async def _settled(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
            await bodies.of(self.engines).settle()
            await bodies.of(self.engines).clean()

    def rows(self, table: str) -> int:
        (count,) = self.store.read.connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(count)


def streamed(*pieces: bytes, length: int | None = None, breaks: Exception | None = None) -> Body:
    """A body that comes in pieces, and may break off."""

    async def come() -> AsyncIterator[bytes]:
        for piece in pieces:
            await asyncio.sleep(0)
            yield piece
        if breaks is not None:
            raise breaks

    return Body(come(), sum(map(len, pieces)) if length is None else length)
