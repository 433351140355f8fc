import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.Plugin;

/** An Elasticsearch 7 whose modules are on the class path. `-Dplugins=` names their classes; arguments are settings. */
public class OldNode extends Node {
    OldNode(Settings settings) throws Exception {
        super(InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "node"), plugins(), true);
    }

    static List<Class<? extends Plugin>> plugins() throws Exception {
        List<Class<? extends Plugin>> found = new ArrayList<>();
        for (String name : System.getProperty("plugins").split(","))
            found.add(Class.forName(name).asSubclass(Plugin.class));
        return found;
    }

    public static void main(String[] arguments) throws Exception {
        Settings.Builder settings = Settings.builder();
        for (String argument : arguments) {
            String[] parts = argument.split("=", 2);
            settings.put(parts[0], parts[1]);
        }
        Files.createDirectories(Path.of(settings.get("path.home")).resolve("config"));
        new OldNode(settings.build()).start();
        Thread.currentThread().join();
    }
}
