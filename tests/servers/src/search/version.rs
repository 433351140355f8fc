//! Which OpenSearches and Elasticsearches there are, and what each of them can do.
//!
//! They are assembled from the jars that their makers publish for embedding; what is in no jar, they lack.

use std::path::PathBuf;

use super::install;
use super::java::Java;
use crate::error::Result;
use crate::tools::{self, overridden};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SearchVersion {
    /// All of OpenSearch's core; no security, ISM, k-NN.
    OpenSearch38,
    /// The last whose security plugin can be had: TLS and users.
    OpenSearch34Secured,
    /// The open-source flavour: no points in time, no data streams, no vectors.
    Elasticsearch710,
    Elasticsearch717,
    Elasticsearch819,
    Elasticsearch95,
    /// With TLS, users and API keys.
    Elasticsearch95Secured,
}

/// What a version has that another lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities {
    /// Points in time; all have scrolls.
    pub point_in_time: bool,
    pub data_streams: bool,
    /// Fields of type `join`, `scaled_float`, `rank_feature`; percolators; reindexing.
    pub join: bool,
    /// Fields of type `geo_shape`; all have `geo_point`.
    pub shapes: bool,
    /// Fields of type `dense_vector`.
    pub vectors: bool,
    /// The language Painless and the processor `script`; Mustache.
    pub painless: bool,
    pub mustache: bool,
    /// Ingest processors other than `set`; none at all where that is missing, too.
    pub processors: bool,
    pub set_processor: bool,
    /// Analyzers beyond `standard`, token filters beyond `stop` and `asciifolding`.
    pub analyzers: bool,
    /// `_source` put together from the fields.
    pub synthetic_source: bool,
    /// Vectors are left out of `_source` unless asked for.
    pub hidden_vectors: bool,
    /// Aliases that wildcards do not find.
    pub hidden_aliases: bool,
}

impl SearchVersion {
    pub const ALL: [Self; 7] = [
        Self::OpenSearch38,
        Self::OpenSearch34Secured,
        Self::Elasticsearch710,
        Self::Elasticsearch717,
        Self::Elasticsearch819,
        Self::Elasticsearch95,
        Self::Elasticsearch95Secured,
    ];

    /// Those that are always tested: no two of them fail for the same reason.
    pub const DEFAULT: [Self; 4] =
        [Self::OpenSearch38, Self::Elasticsearch95Secured, Self::Elasticsearch710, Self::Elasticsearch95];

    /// Those to test here: all with `COFFER_TEST_ALL_SEARCH=1`.
    pub fn tested() -> Vec<Self> {
        let all = std::env::var("COFFER_TEST_ALL_SEARCH").is_ok_and(|all| !["", "0"].contains(&all.as_str()));
        if all { Self::ALL.into() } else { Self::DEFAULT.into() }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::OpenSearch38 => "OpenSearch 3.8",
            Self::OpenSearch34Secured => "OpenSearch 3.4 secured",
            Self::Elasticsearch710 => "Elasticsearch 7.10",
            Self::Elasticsearch717 => "Elasticsearch 7.17",
            Self::Elasticsearch819 => "Elasticsearch 8.19",
            Self::Elasticsearch95 => "Elasticsearch 9.5",
            Self::Elasticsearch95Secured => "Elasticsearch 9.5 secured",
        }
    }

    /// What `GET /` says.
    pub fn number(self) -> &'static str {
        match self {
            Self::OpenSearch38 => "3.8.0",
            Self::OpenSearch34Secured => "3.4.0",
            Self::Elasticsearch710 => "7.10.2",
            Self::Elasticsearch717 => "7.17.29",
            Self::Elasticsearch819 => "8.19.21",
            Self::Elasticsearch95 | Self::Elasticsearch95Secured => "9.5.3",
        }
    }

    /// The variable that names a folder laid out as [`Self::programs`] lays one out.
    pub fn variable(self) -> &'static str {
        match self {
            Self::OpenSearch38 => "COFFER_OPENSEARCH_38",
            Self::OpenSearch34Secured => "COFFER_OPENSEARCH_34_SECURED",
            Self::Elasticsearch710 => "COFFER_ELASTICSEARCH_710",
            Self::Elasticsearch717 => "COFFER_ELASTICSEARCH_717",
            Self::Elasticsearch819 => "COFFER_ELASTICSEARCH_819",
            Self::Elasticsearch95 => "COFFER_ELASTICSEARCH_95",
            Self::Elasticsearch95Secured => "COFFER_ELASTICSEARCH_95_SECURED",
        }
    }

    pub fn is_opensearch(self) -> bool {
        matches!(self, Self::OpenSearch38 | Self::OpenSearch34Secured)
    }

    /// Whether it speaks HTTPS and wants to know who asks.
    pub fn is_secured(self) -> bool {
        matches!(self, Self::OpenSearch34Secured | Self::Elasticsearch95Secured)
    }

    pub fn abilities(self) -> Abilities {
        let old = Abilities { join: true, mustache: true, ..Abilities::default() };
        let complete = Abilities { painless: true, processors: true, set_processor: true, analyzers: true, ..old };
        let new = Abilities {
            point_in_time: true,
            vectors: true,
            set_processor: true,
            synthetic_source: true,
            hidden_aliases: true,
            ..Abilities::default()
        };
        match self {
            Self::OpenSearch38 | Self::OpenSearch34Secured => {
                Abilities { point_in_time: true, data_streams: true, shapes: true, hidden_aliases: true, ..complete }
            }
            Self::Elasticsearch710 => complete,
            Self::Elasticsearch717 => Abilities { hidden_aliases: true, ..old },
            Self::Elasticsearch819 => new,
            Self::Elasticsearch95 | Self::Elasticsearch95Secured => Abilities { hidden_vectors: true, ..new },
        }
    }

    /// The folder with this version's jars, [`Self::variable`] or one in the cache: `lib`, `node` with the class that
    /// starts it, and `modules` or `security` where it has them.
    pub fn programs(self) -> Result<PathBuf> {
        match overridden(self.variable(), &format!("node/{}.class", self.main_class()))? {
            Some(own) => Ok(own),
            None => install::install(self),
        }
    }

    /// Whether a test can have this version and the stock program that judges dumps. They come by Maven and by npm, which not
    /// every machine has: what is missing is told, past the harness's capture, and counted.
    pub fn is_at_hand(self) -> bool {
        let missing = self.programs().err().or_else(|| tools::elasticdump_programs().err());
        if let Some(error) = &missing {
            crate::skipped(format_args!("{}: {error}", self.name()));
        }
        missing.is_none()
    }

    pub(super) fn main_class(self) -> &'static str {
        match self {
            Self::OpenSearch38 | Self::OpenSearch34Secured => "OpenSearchNode",
            Self::Elasticsearch710 | Self::Elasticsearch717 => "OldNode",
            Self::Elasticsearch819 | Self::Elasticsearch95 | Self::Elasticsearch95Secured => "NewNode",
        }
    }

    pub(super) fn java(self) -> Java {
        if self.main_class() == "OldNode" { Java::OLD } else { Java::NEW }
    }

    /// The classes of the modules that are on the class path.
    pub(super) fn modules(self) -> Vec<String> {
        let (package, names): (_, &[&str]) = match self {
            Self::OpenSearch38 => ("org.opensearch.", &OPENSEARCH),
            Self::OpenSearch34Secured => {
                let mut modules = Self::OpenSearch38.modules();
                modules.push("org.opensearch.security.OpenSearchSecurityPlugin".into());
                return modules;
            }
            Self::Elasticsearch710 => ("org.elasticsearch.", &ELASTICSEARCH_710),
            Self::Elasticsearch717 => ("org.elasticsearch.", &ELASTICSEARCH_717),
            // They find theirs themselves.
            Self::Elasticsearch819 | Self::Elasticsearch95 | Self::Elasticsearch95Secured => ("", &[]),
        };
        names.iter().map(|name| format!("{package}{name}")).collect()
    }
}

const OPENSEARCH: [&str; 15] = [
    "analysis.common.CommonAnalysisModulePlugin",
    "geo.GeoModulePlugin",
    "index.mapper.MapperExtrasModulePlugin",
    "index.rankeval.RankEvalModulePlugin",
    "index.reindex.ReindexModulePlugin",
    "ingest.common.IngestCommonModulePlugin",
    "ingest.useragent.IngestUserAgentModulePlugin",
    "join.ParentJoinModulePlugin",
    "painless.PainlessModulePlugin",
    "percolator.PercolatorModulePlugin",
    "plugin.repository.url.URLRepositoryModulePlugin",
    "script.expression.ExpressionModulePlugin",
    "script.mustache.MustacheModulePlugin",
    "search.aggregations.matrix.MatrixAggregationModulePlugin",
    "transport.Netty4ModulePlugin",
];

const ELASTICSEARCH_717: [&str; 8] = [
    "index.mapper.MapperExtrasPlugin",
    "index.rankeval.RankEvalPlugin",
    "reindex.ReindexPlugin",
    "join.ParentJoinPlugin",
    "percolator.PercolatorPlugin",
    "script.mustache.MustachePlugin",
    "search.aggregations.matrix.MatrixAggregationPlugin",
    "transport.Netty4Plugin",
];

const ELASTICSEARCH_710: [&str; 14] = [
    "analysis.common.CommonAnalysisPlugin",
    "index.mapper.MapperExtrasPlugin",
    "index.rankeval.RankEvalPlugin",
    "index.reindex.ReindexPlugin",
    "ingest.common.IngestCommonPlugin",
    "ingest.useragent.IngestUserAgentPlugin",
    "join.ParentJoinPlugin",
    "painless.PainlessPlugin",
    "percolator.PercolatorPlugin",
    "plugin.repository.url.URLRepositoryPlugin",
    "script.expression.ExpressionPlugin",
    "script.mustache.MustachePlugin",
    "search.aggregations.matrix.MatrixAggregationPlugin",
    "transport.Netty4Plugin",
];
