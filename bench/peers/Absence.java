import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.connector.file.src.FileSource;
import org.apache.flink.connector.file.src.reader.TextLineInputFormat;
import org.apache.flink.runtime.util.EnvironmentInformation;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/** Which keys lack their second event? Arguments: EVENTS FOUND RUNS. All runs share one warm virtual machine. */
public class Absence {
    static final int PARALLELISM = 1;
    /** How long a key waits for its second event, in event time. */
    static final long PATIENCE_MS = 10_000;
    static final Duration OUT_OF_ORDER_BY = Duration.ofMillis(100);

    public static void main(String[] arguments) throws Exception {
        Path found = Path.of(arguments[1]);
        List<String> seconds = new ArrayList<>();
        double wall = 0;
        double busy = 0;
        PrintStream out = System.out;
        for (int run = 0; run < Integer.parseInt(arguments[2]); run++) {
            double busyBefore = processorSeconds();
            try (PrintStream keys = new PrintStream(Files.newOutputStream(found))) {
                // The printing sink is the one that needs no connector.
                System.setOut(keys);
                double took = once(arguments[0]) / 1000.0;
                seconds.add(Double.toString(took));
                wall += took;
            } finally {
                System.setOut(out);
            }
            busy += processorSeconds() - busyBefore;
        }
        long events;
        try (Stream<String> lines = Files.lines(Path.of(arguments[0]))) {
            events = lines.count();
        }
        out.printf(
                "{\"version\": \"%s\", \"events\": %d, \"seconds\": [%s], \"cores\": %.2f, \"parallelism\": %d}%n",
                EnvironmentInformation.getVersion(), events, String.join(", ", seconds), busy / wall, PARALLELISM);
    }

    /** The job's own run time, in milliseconds. */
    static long once(String file) throws Exception {
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.getExecutionEnvironment();
        environment.setParallelism(PARALLELISM);
        environment.getConfig().enableObjectReuse();
        Path path = Path.of(file).toAbsolutePath();
        FileSource<String> lines =
                FileSource.forRecordStreamFormat(
                                new TextLineInputFormat(), new org.apache.flink.core.fs.Path(path.toUri()))
                        .build();
        WatermarkStrategy<Tuple3<String, Boolean, Long>> watermarks =
                WatermarkStrategy.<Tuple3<String, Boolean, Long>>forBoundedOutOfOrderness(OUT_OF_ORDER_BY)
                        .withTimestampAssigner((event, before) -> event.f2);
        environment
                .fromSource(lines, WatermarkStrategy.noWatermarks(), "events")
                .map(Absence::parsed)
                .returns(Types.TUPLE(Types.STRING, Types.BOOLEAN, Types.LONG))
                .assignTimestampsAndWatermarks(watermarks)
                .keyBy(event -> event.f0, Types.STRING)
                .process(new Pairing())
                .print();
        return environment.execute("absence").getNetRuntime();
    }

    /** Key, whether it is the first of the two events, milliseconds. */
    static Tuple3<String, Boolean, Long> parsed(String line) {
        int first = line.indexOf(',');
        boolean isFirst = line.charAt(first + 1) == '0';
        long nanos = Long.parseLong(line, first + 3, line.length(), 10);
        return Tuple3.of(line.substring(0, first), isFirst, nanos / 1_000_000);
    }

    static double processorSeconds() {
        var system = ManagementFactory.getPlatformMXBean(com.sun.management.OperatingSystemMXBean.class);
        return system.getProcessCpuTime() / 1e9;
    }

    /** Holds of each key the event that came first, whichever of the two it is, until the other comes. */
    static class Pairing extends KeyedProcessFunction<String, Tuple3<String, Boolean, Long>, String> {
        /** When it happened; negative where it was the second event that came first. */
        private transient ValueState<Long> waiting;

        @Override
        public void open(OpenContext context) {
            waiting = getRuntimeContext().getState(new ValueStateDescriptor<>("waiting", Types.LONG));
        }

        @Override
        public void processElement(Tuple3<String, Boolean, Long> event, Context context, Collector<String> out)
                throws Exception {
            Long held = waiting.value();
            if (held == null) {
                waiting.update(event.f1 ? event.f2 : -event.f2);
                context.timerService().registerEventTimeTimer(event.f2 + PATIENCE_MS);
            } else if ((held > 0) != event.f1) {
                context.timerService().deleteEventTimeTimer(Math.abs(held) + PATIENCE_MS);
                waiting.clear();
            }
        }

        @Override
        public void onTimer(long at, OnTimerContext context, Collector<String> out) throws Exception {
            Long held = waiting.value();
            if (held != null && held > 0) {
                out.collect(context.getCurrentKey());
            }
            waiting.clear();
        }
    }
}
