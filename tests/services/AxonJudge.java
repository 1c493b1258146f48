// The publisher's own connector, asked from outside: a question of one line of JSON, an answer of one line of JSON.

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.FieldDescriptor;
import io.axoniq.axonserver.connector.AxonServerConnection;
import io.axoniq.axonserver.connector.AxonServerConnectionFactory;
import io.axoniq.axonserver.connector.AxonServerException;
import io.axoniq.axonserver.connector.ErrorCategory;
import io.axoniq.axonserver.connector.event.AggregateEventStream;
import io.axoniq.axonserver.connector.event.AppendEventsTransaction;
import io.axoniq.axonserver.connector.event.EventChannel;
import io.axoniq.axonserver.connector.event.EventStream;
import io.axoniq.axonserver.connector.impl.ServerAddress;
import io.axoniq.axonserver.grpc.MetaDataValue;
import io.axoniq.axonserver.grpc.SerializedObject;
import io.axoniq.axonserver.grpc.event.Event;
import io.axoniq.axonserver.grpc.event.EventWithToken;
import io.grpc.Metadata;
import io.grpc.Status;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

public class AxonJudge {
    static final int WITHIN = 15;

    public static void main(String[] arguments) throws Exception {
        AxonServerConnectionFactory.Builder builder = AxonServerConnectionFactory.forClient("judge", "judge-1")
                .routingServers(new ServerAddress("127.0.0.1", Integer.parseInt(arguments[0])))
                .connectTimeout(WITHIN, TimeUnit.SECONDS);
        if (arguments.length > 2) builder.token(arguments[2]);
        AxonServerConnectionFactory factory = builder.build();
        AxonServerConnection connection = factory.connect(arguments[1]);
        BufferedReader questions = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Gson json = new Gson();
        for (String line; (line = questions.readLine()) != null; ) {
            Map<String, Object> answer = new TreeMap<>();
            try {
                answer.put("answer", answer(connection, JsonParser.parseString(line).getAsJsonObject()));
            } catch (ExecutionException error) {
                answer.put("error", category(error.getCause()));
                answer.put("text", "" + error.getCause().getMessage());
            }
            System.out.write((json.toJson(answer) + "\n").getBytes(StandardCharsets.UTF_8));
            System.out.flush();
        }
        factory.shutdown();
    }

    static Object answer(AxonServerConnection connection, JsonObject question) throws Exception {
        EventChannel channel = connection.eventChannel();
        switch (question.get("do").getAsString()) {
            case "connected":
                for (int waited = 0; !connection.isConnected() && waited < WITHIN * 100; waited++) Thread.sleep(10);
                return connection.isConnected();
            case "append": {
                AppendEventsTransaction transaction = channel.startAppendEventsTransaction();
                question.getAsJsonArray("events").forEach(each -> transaction.appendEvent(event(each.getAsJsonObject())));
                return transaction.commit().get(WITHIN, TimeUnit.SECONDS).getSuccess();
            }
            case "aggregate": {
                AggregateEventStream events = channel.openAggregateStream(text(question, "aggregate"), number(question, "from"));
                List<Object> found = new ArrayList<>();
                while (events.hasNext()) found.add(shown(events.next()));
                return found;
            }
            case "stream": {
                List<Object> found = new ArrayList<>();
                EventStream events = channel.openStream(number(question, "after"), 4, 2);
                while (found.size() < number(question, "count")) {
                    EventWithToken next = events.nextIfAvailable(WITHIN, TimeUnit.SECONDS);
                    if (next == null) break;
                    found.add(Map.of("token", next.getToken(), "event", shown(next.getEvent())));
                }
                events.close();
                return found;
            }
            case "highest":
                return channel.findHighestSequence(text(question, "aggregate")).get(WITHIN, TimeUnit.SECONDS);
            case "first":
                return channel.getFirstToken().get(WITHIN, TimeUnit.SECONDS);
            case "last":
                return channel.getLastToken().get(WITHIN, TimeUnit.SECONDS);
            case "at":
                return channel.getTokenAt(number(question, "instant")).get(WITHIN, TimeUnit.SECONDS);
            case "fields": {
                Map<String, String> fields = new TreeMap<>();
                Class<?> type = Class.forName("io.axoniq.axonserver.grpc." + text(question, "message"));
                com.google.protobuf.Descriptors.Descriptor message =
                        (com.google.protobuf.Descriptors.Descriptor) type.getMethod("getDescriptor").invoke(null);
                for (FieldDescriptor field : message.getFields()) fields.put(field.getName(), signature(field));
                return fields;
            }
            default:
                throw new IllegalArgumentException("" + question);
        }
    }

    static String category(Throwable error) {
        if (error instanceof AxonServerException) return ((AxonServerException) error).getErrorCategory().name();
        Metadata trailers = Status.trailersFromThrowable(error);
        String code = trailers == null ? null : trailers.get(Metadata.Key.of("AxonIQ-ErrorCode", Metadata.ASCII_STRING_MARSHALLER));
        return code == null ? "" + error : ErrorCategory.getFromCode(code).name();
    }

    static String signature(FieldDescriptor field) {
        if (field.isMapField()) {
            return field.getNumber() + " " + signature(field.getMessageType().findFieldByName("value")).substring(2) + " map";
        }
        String type = field.getType() == FieldDescriptor.Type.MESSAGE
                ? field.getMessageType().getFullName().replace("io.axoniq.axonserver.grpc.", "")
                : field.getType().name().toLowerCase();
        String shape = field.isRepeated() ? "many"
                : field.getContainingOneof() == null ? "one" : field.getContainingOneof().getName();
        return field.getNumber() + " " + type + " " + shape;
    }

    static Event event(JsonObject given) {
        Event.Builder event = Event.newBuilder()
                .setMessageIdentifier(text(given, "id"))
                .setAggregateIdentifier(text(given, "aggregate"))
                .setAggregateSequenceNumber(number(given, "sequence"))
                .setAggregateType(text(given, "aggregateType"))
                .setTimestamp(number(given, "timestamp"))
                .setPayload(SerializedObject.newBuilder()
                        .setType(text(given, "type"))
                        .setRevision(text(given, "revision"))
                        .setData(ByteString.copyFrom(Base64.getDecoder().decode(text(given, "data")))));
        given.getAsJsonObject("texts").entrySet().forEach(each -> event.putMetaData(
                each.getKey(), MetaDataValue.newBuilder().setTextValue(each.getValue().getAsString()).build()));
        given.getAsJsonObject("numbers").entrySet().forEach(each -> event.putMetaData(
                each.getKey(), MetaDataValue.newBuilder().setNumberValue(each.getValue().getAsLong()).build()));
        return event.build();
    }

    static Map<String, Object> shown(Event event) {
        Map<String, Object> shown = new TreeMap<>();
        shown.put("id", event.getMessageIdentifier());
        shown.put("aggregate", event.getAggregateIdentifier());
        shown.put("sequence", event.getAggregateSequenceNumber());
        shown.put("aggregateType", event.getAggregateType());
        shown.put("timestamp", event.getTimestamp());
        shown.put("type", event.getPayload().getType());
        shown.put("revision", event.getPayload().getRevision());
        shown.put("data", Base64.getEncoder().encodeToString(event.getPayload().getData().toByteArray()));
        Map<String, String> texts = new TreeMap<>();
        Map<String, Long> numbers = new TreeMap<>();
        event.getMetaDataMap().forEach((name, value) -> {
            if (value.getDataCase() == MetaDataValue.DataCase.TEXT_VALUE) texts.put(name, value.getTextValue());
            if (value.getDataCase() == MetaDataValue.DataCase.NUMBER_VALUE) numbers.put(name, value.getNumberValue());
        });
        shown.put("texts", texts);
        shown.put("numbers", numbers);
        return shown;
    }

    static String text(JsonObject given, String name) {
        return given.get(name).getAsString();
    }

    static long number(JsonObject given, String name) {
        return given.get(name).getAsLong();
    }
}
