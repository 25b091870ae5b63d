"""The gcp stand-in's service: the engine's requests on one side, the table of types on the other."""

from __future__ import annotations

import sys
from concurrent import futures
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import grpc
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from engine.plugins import hosting
from engine.plugins.gcp.catalog import FUNCTIONS, TYPES, AnyType
from engine.plugins.gcp.comparing import Change, imported_inputs, refreshed_inputs
from engine.plugins.gcp.provider import Provider, decode_settings, not_honoured
from engine.plugins.gcp.resource import PartlyCreated, ResourceError
from engine.plugins.gcp.rest import APIS, ApiError
from engine.plugins.gcp.values import UNKNOWN, from_struct, has_unknown, to_struct

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

KINDS = {
    ("add", False): provider_pb2.PropertyDiff.ADD,
    ("add", True): provider_pb2.PropertyDiff.ADD_REPLACE,
    ("delete", False): provider_pb2.PropertyDiff.DELETE,
    ("delete", True): provider_pb2.PropertyDiff.DELETE_REPLACE,
    ("update", False): provider_pb2.PropertyDiff.UPDATE,
    ("update", True): provider_pb2.PropertyDiff.UPDATE_REPLACE,
}


class GcpProvider(provider_pb2_grpc.ResourceProviderServicer):
    """One provider instance. Method names are the protocol's: https://www.pulumi.com/docs/iac/using-pulumi/extending-pulumi"""

    def __init__(self) -> None:
        self._provider = Provider({})

    # ruff: noqa: N802 - the protocol's names

    def Handshake(
        self, request: provider_pb2.ProviderHandshakeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ProviderHandshakeResponse:
        """Secrets and outputs are the engine's to keep track of, as with the official plugin."""
        del request, context
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        """The version of pulumi-gcp that the table follows."""
        del request, context
        import importlib.metadata

        return plugin_pb2.PluginInfo(version=importlib.metadata.version("pulumi_gcp"))

    def GetSchema(
        self, request: provider_pb2.GetSchemaRequest, context: grpc.ServicerContext
    ) -> provider_pb2.GetSchemaResponse:
        """No schema of its own: programs come with the pulumi_gcp package."""
        del request, context
        return provider_pb2.GetSchemaResponse(schema="{}")

    def CheckConfig(
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        """Refuses settings that the official plugin acts on and this one does not, and addresses of the wrong form."""
        del context
        provider = Provider(decode_settings(from_struct(request.news)))
        failures = [
            provider_pb2.CheckFailure(property=name, reason=reason)
            for name, reason in not_honoured(provider.settings, provider.environ)
        ]
        for api in APIS:
            if any(value == UNKNOWN for value in provider.settings.values()):
                break
            try:
                provider.client.address(api)
            except ValueError as error:
                failures.append(provider_pb2.CheckFailure(reason=str(error)))
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def DiffConfig(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        """A provider is never replaced; another project shows at each resource."""
        del context
        olds, news = _old_settings(request), from_struct(request.news)
        changed = sorted(name for name in {*olds, *news} - {"version"} if olds.get(name) != news.get(name))
        some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=some, diffs=changed)

    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        """Keeps the settings for the calls to come."""
        del context
        settings = decode_settings(from_struct(request.args))
        self._provider.client.close()
        self._provider = Provider({name: value for name, value in settings.items() if value != UNKNOWN})
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    def Invoke(self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext) -> provider_pb2.InvokeResponse:
        """Runs a function."""
        function = FUNCTIONS.get(request.tok)
        if function is None:
            _refuse(context, _not_mapped("function", request.tok))
        arguments = from_struct(request.args)
        answer = _guarded(context, lambda: function(self._provider, arguments))
        response = provider_pb2.InvokeResponse()
        getattr(response, "return").CopyFrom(to_struct(answer))
        return response

    def Check(self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:
        """Refuses what is wrong, fills in what is missing."""
        kind = _kind(request.urn, context)
        name = request.name or request.urn.rsplit("::", 1)[-1]
        inputs, failures = kind.check(from_struct(request.olds), from_struct(request.news), name, request.randomSeed)
        return provider_pb2.CheckResponse(
            inputs=to_struct(inputs),
            failures=[provider_pb2.CheckFailure(property=each.path, reason=each.reason) for each in failures],
        )

    def Diff(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        """Says what changes, and whether that makes a new resource."""
        kind = _kind(request.urn, context)
        inputs, outputs, news = from_struct(request.old_inputs), from_struct(request.olds), from_struct(request.news)
        ignored = set(request.ignoreChanges)
        found = [each for each in kind.changes(self._provider, inputs, outputs, news) if not _ignored(each, ignored)]
        replaces = list(dict.fromkeys(each.top for each in found if each.replaces))
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if found else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=list(dict.fromkeys(each.top for each in found)),
            replaces=replaces,
            deleteBeforeReplace=bool(replaces) and kind.deletes_first(inputs, news),
            hasDetailedDiff=True,
            detailedDiff={
                each.path: provider_pb2.PropertyDiff(kind=KINDS[each.kind, each.replaces], inputDiff=True)
                for each in found
            },
        )

    def Create(self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:
        """Makes a resource, or says what a preview can know of it."""
        kind = _kind(request.urn, context)
        inputs = from_struct(request.properties)
        if request.preview:
            planned = kind.planned(self._provider, inputs, None)
            return provider_pb2.CreateResponse(id="", properties=to_struct(planned))
        try:
            state = _guarded(context, lambda: kind.create(self._provider, inputs))
        except PartlyCreated as partly:
            _refuse_partly(context, partly, request.properties)
        return provider_pb2.CreateResponse(id=state.identity, properties=to_struct(state.outputs))

    def Read(self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:
        """Refreshes a resource, or finds one by its id for an import."""
        kind = _kind(request.urn, context)
        before, inputs = from_struct(request.properties), from_struct(request.inputs)
        refreshing = bool(before.get("id") or inputs)

        def read() -> tuple[str, dict[str, object] | None, dict[str, object]]:
            identity, values = request.id, {**inputs, **before}
            if not refreshing:
                identity, values = kind.parse_identity(self._provider, request.id)
            state = kind.read(self._provider, identity, values)
            if state is None:
                return "", None, {}
            if refreshing:
                return state.identity, state.outputs, refreshed_inputs(kind.fields, inputs, before, state.outputs)
            return state.identity, state.outputs, imported_inputs(kind.fields, state.outputs)

        identity, outputs, fresh = _guarded(context, read)
        if outputs is None:
            return provider_pb2.ReadResponse(id="")
        return provider_pb2.ReadResponse(id=identity, properties=to_struct(outputs), inputs=to_struct(fresh))

    def Update(self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:
        """Changes a resource in place, or says what a preview can know of that."""
        kind = _kind(request.urn, context)
        olds, inputs, news = from_struct(request.olds), from_struct(request.old_inputs), from_struct(request.news)
        if request.preview or has_unknown(news):
            return provider_pb2.UpdateResponse(properties=to_struct(kind.planned(self._provider, news, olds)))
        state = _guarded(context, lambda: kind.change(self._provider, request.id, olds, inputs, news))
        return provider_pb2.UpdateResponse(properties=to_struct(state.outputs))

    def Delete(self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Deletes a resource."""
        kind = _kind(request.urn, context)
        outputs = from_struct(request.properties)
        _guarded(context, lambda: kind.delete(self._provider, request.id, outputs))
        return empty_pb2.Empty()

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Calls are short; what runs is left to end."""
        del request, context
        return empty_pb2.Empty()

    Parameterize: Any = hosting.not_offered
    Call: Any = hosting.not_offered
    Construct: Any = hosting.not_offered
    List: Any = hosting.not_offered
    GetMapping: Any = hosting.not_offered
    GetMappings: Any = hosting.not_offered

    def close(self) -> None:
        """Ends the connections to Google."""
        self._provider.client.close()

    def Attach(self, request: plugin_pb2.PluginAttach, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Nothing to do: the engine is never called back."""
        del request, context
        return empty_pb2.Empty()


def _old_settings(request: provider_pb2.DiffRequest) -> dict[str, object]:
    return from_struct(request.old_inputs if request.HasField("old_inputs") else request.olds)


def _kind(urn: str, context: grpc.ServicerContext) -> AnyType:
    token = urn.split("::")[2].rsplit("$", 1)[-1]
    kind = TYPES.get(token)
    if kind is None:
        _refuse(context, _not_mapped("resource type", token))
    return kind


def _not_mapped(what: str, token: str) -> str:
    return (
        f"the stand-in for the gcp plugin does not have the {what} {token}; the official plugin does: "
        "install Pulumi where it can be downloaded, https://www.pulumi.com/docs/install/"
    )


def _ignored(change: Change, ignored: set[str]) -> bool:
    return any(change.path == each or change.path.startswith((f"{each}.", f"{each}[")) for each in ignored)


def _guarded(context: grpc.ServicerContext, step: Callable[[], T]) -> T:
    """Runs a step; what it refuses becomes the call's error, without a traceback."""
    try:
        return step()
    except (ApiError, ResourceError, ValueError, OSError) as error:
        _refuse(context, str(error))


def _refuse(context: grpc.ServicerContext, message: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError  # abort has raised already


def _refuse_partly(context: grpc.ServicerContext, partly: PartlyCreated, inputs: struct_pb2.Struct) -> NoReturn:
    # The engine keeps the resource in the state and tries to bring it up at the next update.
    from google.rpc import code_pb2, status_pb2  # type: ignore[import-untyped]

    status = status_pb2.Status(code=code_pb2.UNKNOWN, message=partly.reason)
    status.details.add().Pack(
        provider_pb2.ErrorResourceInitFailed(
            id=partly.identity, properties=to_struct(partly.outputs), reasons=[partly.reason], inputs=inputs
        )
    )
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    _refuse(context, partly.reason)


def main() -> None:
    """Serves until the engine goes."""
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=32),
        options=[
            ("grpc.max_receive_message_length", 400 * 1024 * 1024),
            ("grpc.max_send_message_length", 400 * 1024 * 1024),
        ],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(GcpProvider(), server)
    hosting.serve(server)


if __name__ == "__main__":
    sys.exit("start this through launch.py")
