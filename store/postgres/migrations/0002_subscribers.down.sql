DROP TABLE {schema}.subscribers;
