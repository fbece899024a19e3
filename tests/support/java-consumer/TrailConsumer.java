import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.HashSet;
import java.util.List;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Somebody else's consumer: reads a topic from its beginning in a group of its own until every build named on standard input (one id a line)
 * has had its terminal event. One line a record: partition, the partition that Java's own partitioner gives, offset, key, headers, value;
 * headers as name=base64 pairs, value in base64.
 *
 *   java TrailConsumer BROKERS TOPIC GROUP SECONDS &lt; ids
 */
public final class TrailConsumer {
    private static final Set<String> TERMINAL = Set.of("build.completed", "build.failed", "build.cancelled");

    public static void main(String[] args) throws Exception {
        Set<String> open = new HashSet<>();
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = input.readLine()) != null; ) {
            open.add(line.trim());
        }
        Properties properties = new Properties();
        properties.put("bootstrap.servers", args[0]);
        properties.put("group.id", args[2]);
        properties.put("auto.offset.reset", "earliest");
        properties.put("isolation.level", "read_committed");
        long end = System.nanoTime() + Duration.ofSeconds(Long.parseLong(args[3])).toNanos();
        try (KafkaConsumer<String, byte[]> consumer =
                new KafkaConsumer<>(properties, new StringDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(args[1]));
            int partitions = consumer.partitionsFor(args[1]).size();
            while (!open.isEmpty()) {
                if (System.nanoTime() > end) {
                    System.err.println("still open: " + open);
                    System.exit(1);
                }
                for (ConsumerRecord<String, byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                    print(record, partitions);
                    Header type = record.headers().lastHeader("ce_type");
                    if (type != null && TERMINAL.contains(new String(type.value(), StandardCharsets.UTF_8))) {
                        open.remove(record.key());
                    }
                }
            }
            consumer.commitSync();
        }
    }

    private static void print(ConsumerRecord<String, byte[]> record, int partitions) {
        Base64.Encoder base64 = Base64.getEncoder();
        byte[] key = record.key().getBytes(StandardCharsets.UTF_8);
        StringBuilder headers = new StringBuilder();
        for (Header header : record.headers()) {
            headers.append(headers.length() == 0 ? "" : ",").append(header.key()).append('=').append(base64.encodeToString(header.value()));
        }
        System.out.println(String.join("\t",
            Integer.toString(record.partition()),
            Integer.toString(BuiltInPartitioner.partitionForKey(key, partitions)),
            Long.toString(record.offset()),
            record.key(),
            headers,
            base64.encodeToString(record.value())));
    }
}
