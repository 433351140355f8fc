import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.opensearch.Version;
import org.opensearch.common.settings.Settings;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.plugins.PluginInfo;

/** An OpenSearch node whose modules are on the class path. `-Dplugins=` names their classes; arguments are settings. */
public class OpenSearchNode extends Node {
    OpenSearchNode(Settings settings) throws Exception {
        super(InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "node"), plugins(), true);
    }

    static List<PluginInfo> plugins() {
        List<PluginInfo> found = new ArrayList<>();
        for (String name : System.getProperty("plugins").split(","))
            found.add(new PluginInfo(name, "", "", Version.CURRENT, "21", name, List.of(), false));
        return found;
    }

    public static void main(String[] arguments) throws Exception {
        Settings.Builder settings = Settings.builder();
        for (String argument : arguments) {
            String[] parts = argument.split("=", 2);
            settings.put(parts[0], parts[1]);
        }
        Files.createDirectories(Path.of(settings.get("path.home")).resolve("config"));
        new OpenSearchNode(settings.build()).start();
        Thread.currentThread().join();
    }
}
