// Posts events with Java's HttpClient as it comes, which offers an upgrade with each request: URL, token, how many.

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

public class Posts {
    public static void main(String[] arguments) throws Exception {
        var client = HttpClient.newHttpClient();
        var request = HttpRequest.newBuilder(URI.create(arguments[0]))
            .header("Authorization", "Bearer " + arguments[1])
            .header("Content-Type", "application/json")
            .POST(BodyPublishers.ofString("{\"event_name\":\"java\",\"event_type\":\"t\"}"))
            .build();
        for (int sent = 0; sent < Integer.parseInt(arguments[2]); sent++) {
            int status = client.send(request, BodyHandlers.ofString()).statusCode();
            if (status != 202) throw new IllegalStateException("request " + sent + " got " + status);
        }
    }
}
