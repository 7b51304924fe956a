//! SeaORM entities, one per file: columns and relations, no policy.
