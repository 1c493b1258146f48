"""What is said to Axon Server and heard from it: the part of its published protocol that a bus needs.

The numbers and types of the fields are the protocol; names are for us, and the same as the publisher's. They are built
here, in a pool of their own, and not compiled from a file: whoever also has the publisher's own modules loaded gets no
conflict, and nothing ties us to the version of a compiler.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

__all__ = ["CALLS", "CLASSES", "MESSAGES", "ROOT", "Call", "Field", "Message", "classes", "new"]

Message: TypeAlias = Any
"""Of a class that is made at run time."""

ROOT = "io.axoniq.axonserver.grpc"
"""Of the names of packages, on the wire too."""


class Field(NamedTuple):
    number: int
    kind: str
    """`string`, `bytes`, `bool`, `int32`, `int64`, `sint64`, `double`, or the name of a message."""
    shape: str = "one"
    """`one`; `many`; `map`, from a string; else the name of the group of which one at most is given."""


MESSAGES: Mapping[str, Mapping[str, Field]] = {
    # common
    "SerializedObject": {
        "type": Field(1, "string"),
        "revision": Field(2, "string"),
        "data": Field(3, "bytes"),
    },
    "MetaDataValue": {
        "text_value": Field(1, "string", "data"),
        "number_value": Field(2, "sint64", "data"),
        "boolean_value": Field(3, "bool", "data"),
        "double_value": Field(4, "double", "data"),
        "bytes_value": Field(5, "SerializedObject", "data"),
    },
    # event
    "event.Event": {
        "message_identifier": Field(1, "string"),
        "aggregate_identifier": Field(2, "string"),
        "aggregate_sequence_number": Field(3, "int64"),
        "aggregate_type": Field(4, "string"),
        "timestamp": Field(5, "int64"),
        "payload": Field(6, "SerializedObject"),
        "meta_data": Field(7, "MetaDataValue", "map"),
        "snapshot": Field(8, "bool"),
    },
    "event.EventWithToken": {"token": Field(1, "int64"), "event": Field(2, "event.Event")},
    "event.Confirmation": {"success": Field(1, "bool")},
    "event.GetAggregateEventsRequest": {
        "aggregate_id": Field(1, "string"),
        "initial_sequence": Field(2, "int64"),
        "allow_snapshots": Field(3, "bool"),
        "max_sequence": Field(4, "int64"),
    },
    "event.GetEventsRequest": {
        "tracking_token": Field(1, "int64"),
        "number_of_permits": Field(2, "int64"),
        "client_id": Field(3, "string"),
        "component_name": Field(4, "string"),
        "processor": Field(5, "string"),
    },
    "event.ReadHighestSequenceNrRequest": {
        "aggregate_id": Field(1, "string"),
        "from_sequence_nr": Field(3, "int64"),
    },
    "event.ReadHighestSequenceNrResponse": {"to_sequence_nr": Field(1, "int64")},
    "event.GetLastTokenRequest": {},
    "event.TrackingToken": {"token": Field(1, "int64")},
    # control
    "control.ClientIdentification": {
        "client_id": Field(1, "string"),
        "component_name": Field(2, "string"),
        "version": Field(4, "string"),
    },
    "control.NodeInfo": {
        "host_name": Field(1, "string"),
        "grpc_port": Field(2, "int32"),
        "http_port": Field(3, "int32"),
        "version": Field(4, "int32"),
        "node_name": Field(5, "string"),
    },
    "control.PlatformInfo": {"primary": Field(1, "control.NodeInfo"), "same_connection": Field(2, "bool")},
}


class Call(NamedTuple):
    asks: str
    answers: str
    asks_many: bool = False
    answers_many: bool = False


CALLS: Mapping[str, Call] = {
    "control.PlatformService/GetPlatformServer": Call("control.ClientIdentification", "control.PlatformInfo"),
    "event.EventStore/AppendEvent": Call("event.Event", "event.Confirmation", asks_many=True),
    "event.EventStore/ListAggregateEvents": Call("event.GetAggregateEventsRequest", "event.Event", answers_many=True),
    "event.EventStore/ListEvents": Call(
        "event.GetEventsRequest", "event.EventWithToken", asks_many=True, answers_many=True
    ),
    "event.EventStore/ReadHighestSequenceNr": Call(
        "event.ReadHighestSequenceNrRequest", "event.ReadHighestSequenceNrResponse"
    ),
    "event.EventStore/GetLastToken": Call("event.GetLastTokenRequest", "event.TrackingToken"),
}

_KINDS = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "sint64": FieldDescriptorProto.TYPE_SINT64,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
}


def _field(name: str, number: int, kind: str) -> FieldDescriptorProto:
    made = FieldDescriptorProto(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
    if kind in _KINDS:
        made.type = _KINDS[kind]
    else:
        made.type, made.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{ROOT}.{kind}"
    return made


def _message(full: str, fields: Mapping[str, Field]) -> DescriptorProto:
    made = DescriptorProto(name=full.rpartition(".")[2])
    groups: list[str] = []
    for name, (number, kind, shape) in fields.items():
        field = _field(name, number, kind)
        if shape == "map":
            entry = "".join(map(str.capitalize, name.split("_"))) + "Entry"
            nested = made.nested_type.add(name=entry)
            nested.field.extend([_field("key", 1, "string"), _field("value", 2, kind)])
            nested.options.map_entry = True
            field = _field(name, number, f"{full}.{entry}")
        if shape in ("map", "many"):
            field.label = FieldDescriptorProto.LABEL_REPEATED
        elif shape != "one":
            if shape not in groups:
                groups.append(shape)
                made.oneof_decl.add(name=shape)
            field.oneof_index = groups.index(shape)
        made.field.append(field)
    return made


def _files(messages: Mapping[str, Mapping[str, Field]]) -> Iterator[FileDescriptorProto]:
    for package in ("", "event", "control"):
        own = [name for name in messages if name.rpartition(".")[0] == package]
        file = FileDescriptorProto(
            name=f"daicho/axon/{package or 'common'}.proto",
            package=f"{ROOT}.{package}" if package else ROOT,
            syntax="proto3",
            dependency=["daicho/axon/common.proto"] if package else [],
        )
        file.message_type.extend(_message(name, messages[name]) for name in own)
        yield file


def classes(messages: Mapping[str, Mapping[str, Field]]) -> dict[str, Any]:
    """For each name the class of its messages."""
    pool = DescriptorPool()
    for file in _files(messages):
        pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{ROOT}.{name}")) for name in messages}


CLASSES = classes(MESSAGES)


def new(name: str, **fields: Any) -> Message:
    """A message of this name."""
    return CLASSES[name](**fields)
