// A receiver of usher's callback with nothing but Java (17 or newer) and a properties file:
//   HOOK_SECRET=whsec_… java Receiver.java

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public class Receiver {
    static final Map<String, String> ENV = System.getenv();
    static final Path STORE = Path.of(ENV.getOrDefault("STORE", "accounts.properties"));
    static final int SEATS = Integer.parseInt(ENV.getOrDefault("SEATS", "100"));
    // The newest and, while it is being replaced, the one before it.
    static final List<byte[]> KEYS = Arrays.stream(ENV.get("HOOK_SECRET").split("\\s+"))
            .map(one -> Base64.getDecoder().decode(one.replaceFirst("^whsec_", ""))).toList();

    record Reply(int status, String said) {}

    // [verify]
    static boolean authentic(String event, String sent, String signatures, byte[] body) throws GeneralSecurityException {
        if (event == null || signatures == null || sent == null || !sent.matches("[0-9]{1,12}")) return false;
        if (Math.abs(Instant.now().getEpochSecond() - Long.parseLong(sent)) > 300) return false;
        boolean good = false;
        for (byte[] key : KEYS) {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key, "HmacSHA256"));
            mac.update((event + "." + sent + ".").getBytes(StandardCharsets.UTF_8));
            String wanted = "v1," + Base64.getEncoder().encodeToString(mac.doFinal(body));
            for (String given : signatures.split(" ")) {
                good |= MessageDigest.isEqual(given.getBytes(StandardCharsets.UTF_8), wanted.getBytes(StandardCharsets.UTF_8));
            }
        }
        return good;
    }
    // [/verify]

    // [decide]
    static Reply decide(Properties store, String kind, Map<?, ?> user) {
        String prefix = "user." + user.get("id") + ".";
        if (kind.equals("user.deleted")) {
            store.keySet().removeIf(name -> ((String) name).startsWith(prefix));
            return new Reply(200, "{}");
        }
        if (!List.of("user.created", "user.updated", "user.deactivated", "user.reactivated").contains(kind)) {
            return new Reply(200, "{}");
        }
        String known = store.getProperty(prefix + "account");
        boolean active = (boolean) user.get("active");
        if (active && !"true".equals(store.getProperty(prefix + "active"))) {
            if (String.valueOf(user.get("email")).endsWith("@blocked.example")) {
                return new Reply(403, "{\"reason\":\"blocked_domain\",\"user_message\":\"Use your company's e-mail address.\"}");
            }
            long taken = store.entrySet().stream()
                    .filter(one -> ((String) one.getKey()).endsWith(".active") && one.getValue().equals("true")).count();
            if (taken >= SEATS) {
                return new Reply(403, "{\"reason\":\"no_seat\",\"user_message\":\"All seats are taken. Ask Ann for one.\"}");
            }
        }
        String account = known;
        if (account == null) {
            account = String.valueOf(Integer.parseInt(store.getProperty("last", "0")) + 1);
            store.setProperty("last", account);
        }
        store.setProperty(prefix + "account", account);
        store.setProperty(prefix + "email", String.valueOf(user.get("email")));
        store.setProperty(prefix + "name", String.valueOf(user.get("name")));
        store.setProperty(prefix + "roles", String.valueOf(user.get("roles")));
        store.setProperty(prefix + "active", String.valueOf(active));
        return new Reply(known == null ? 201 : 200, "{\"account\":\"" + account + "\"}");
    }
    // [/decide]

    // [once]
    static synchronized Reply answer(String event, byte[] body) throws IOException {
        Properties store = new Properties();
        if (Files.exists(STORE)) {
            try (var reader = Files.newBufferedReader(STORE)) {
                store.load(reader);
            }
        }
        String[] before = store.getProperty("answer." + event, "").split(" ", 2);
        if (before.length == 2) return new Reply(Integer.parseInt(before[0]), before[1]);
        Map<?, ?> told = (Map<?, ?>) Json.read(new String(body, StandardCharsets.UTF_8));
        Reply reply = decide(store, (String) told.get("type"), (Map<?, ?>) ((Map<?, ?>) told.get("data")).get("user"));
        if (reply.status() < 300) {
            store.setProperty("answer." + event, reply.status() + " " + reply.said());
            Path next = STORE.resolveSibling(STORE.getFileName() + ".new");
            try (var writer = Files.newBufferedWriter(next)) {
                store.store(writer, null); // The account and the answer are kept together, or neither is.
            }
            Files.move(next, STORE, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        }
        return reply;
    }
    // [/once]

    static Reply reply(HttpExchange exchange) throws IOException, GeneralSecurityException {
        byte[] body = exchange.getRequestBody().readNBytes(1 << 20);
        if (!exchange.getRequestURI().toString().equals("/internal/users")) return new Reply(404, "{}");
        if (!exchange.getRequestMethod().equals("POST")) return new Reply(405, "{}");
        var headers = exchange.getRequestHeaders();
        String event = headers.getFirst("webhook-id");
        boolean good = authentic(event, headers.getFirst("webhook-timestamp"), headers.getFirst("webhook-signature"), body);
        return good ? answer(event, body) : new Reply(401, "{}");
    }

    static void handle(HttpExchange exchange) throws IOException {
        Reply reply;
        try {
            reply = reply(exchange);
        } catch (Exception error) {
            error.printStackTrace();
            reply = new Reply(500, "{}");
        }
        byte[] text = reply.said().getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("content-type", "application/json");
        exchange.sendResponseHeaders(reply.status(), text.length);
        exchange.getResponseBody().write(text);
        exchange.close();
    }

    public static void main(String[] arguments) throws IOException {
        int port = Integer.parseInt(ENV.getOrDefault("PORT", "3000"));
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.createContext("/", Receiver::handle);
        server.start();
    }
}

/** JSON by its tokens, since the JDK reads none; your app has a library for it. */
class Json {
    static final Pattern TOKEN = Pattern.compile("\\s*+(\"[^\"\\\\]*+(?:\\\\.[^\"\\\\]*+)*+\"|[{}\\[\\]:,]|[a-z]++|[-0-9.eE+]++)");
    static final Pattern ESCAPE = Pattern.compile("\\\\(?:u([0-9a-fA-F]{4})|(.))");
    private final Matcher tokens;

    Json(String text) {
        tokens = TOKEN.matcher(text);
    }

    static Object read(String text) {
        Json json = new Json(text);
        return json.value(json.next());
    }

    String next() {
        if (!tokens.find()) throw new IllegalArgumentException("this is no JSON");
        return tokens.group(1);
    }

    Object value(String token) {
        switch (token) {
            case "{":
                Map<String, Object> map = new LinkedHashMap<>();
                for (String name = next(); !name.equals("}"); name = next()) {
                    if (name.equals(",")) name = next();
                    next();
                    map.put(text(name), value(next()));
                }
                return map;
            case "[":
                List<Object> list = new ArrayList<>();
                for (String one = next(); !one.equals("]"); one = next()) list.add(value(one.equals(",") ? next() : one));
                return list;
            case "null":
                return null;
            case "true", "false":
                return token.equals("true");
            default:
                return token.startsWith("\"") ? text(token) : Double.valueOf(token);
        }
    }

    static String text(String token) {
        return ESCAPE.matcher(token.substring(1, token.length() - 1)).replaceAll(one -> {
            int plain = one.group(2) == null ? -1 : "nrtbf".indexOf(one.group(2));
            String is = one.group(2) == null ? String.valueOf((char) Integer.parseInt(one.group(1), 16))
                    : plain < 0 ? one.group(2) : String.valueOf("\n\r\t\b\f".charAt(plain));
            return Matcher.quoteReplacement(is);
        });
    }
}
