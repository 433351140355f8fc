import java.lang.reflect.Method;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginBundle;
import org.elasticsearch.plugins.PluginsLoader;

/** An Elasticsearch 8 or 9, which reads its modules from the folder `modules` of its home. Arguments are settings. */
public class NewNode {
    /** 8 wants the folder, 9 also whether to look for more. */
    @SuppressWarnings("unchecked")
    static Set<PluginBundle> modules(Path folder) throws Exception {
        for (Method method : PluginsLoader.class.getMethods())
            if (method.getName().equals("loadModulesBundles"))
                return (Set<PluginBundle>) (method.getParameterCount() == 1 ? method.invoke(null, folder) : method.invoke(null, folder, false));
        throw new IllegalStateException("PluginsLoader has no loadModulesBundles");
    }

    public static void main(String[] arguments) throws Exception {
        Settings.Builder settings = Settings.builder();
        for (String argument : arguments) {
            String[] parts = argument.split("=", 2);
            settings.put(parts[0], parts[1]);
        }
        Path home = Path.of(settings.get("path.home"));
        System.setProperty("es.path.home", home.toString());
        System.setProperty("es.distribution.type", "tar");
        LogConfigurator.registerErrorListener();
        Environment environment =
            InternalSettingsPreparer.prepareEnvironment(settings.build(), Map.of(), home.resolve("config"), () -> "node");
        LogConfigurator.configure(environment, true);
        Set<PluginBundle> modules = modules(home.resolve("modules"));
        new Node(environment, PluginsLoader.createPluginsLoader(modules, Set.of(), Map.of(), false)).start();
        Thread.currentThread().join();
    }
}
