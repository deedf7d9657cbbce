package main

import "github.com/urfave/cli/v3"

// The flags of both services, demo serve and demo worker.

func poolerFlag(prefix string) cli.Flag {
	return &cli.BoolFlag{Name: "pooler", Usage: "a pooler that gives out connections by the transaction, such as PgBouncer, stands before PostgreSQL", Sources: env(prefix, "pooler")}
}

func spoolFlag(prefix string) cli.Flag {
	return &cli.StringFlag{Name: "spool", Usage: "the `FILE` that keeps outcomes while PostgreSQL is away, also over a restart of this process; without it they wait in memory", Sources: env(prefix, "spool"), TakesFile: true}
}

func allowFlag(prefix string) cli.Flag {
	return &cli.StringSliceFlag{Name: "allow", Usage: "a URL `PREFIX` below which assets may be read or written; can be given several times", Sources: env(prefix, "allow")}
}

func allowAddressFlag(prefix string) cli.Flag {
	return &cli.StringSliceFlag{Name: "allow-address", Usage: "a `CIDR` that hosts in --allow may be at although it is not public; can be given several times", Sources: env(prefix, "allow-address")}
}

func maxWaitingFlag(prefix string) cli.Flag {
	return &cli.IntFlag{Name: "max-waiting", Usage: "how many may wait for that; what is beyond it is refused", Value: 1_000_000, Sources: env(prefix, "max-waiting")}
}

func perHostFlag(prefix string) cli.Flag {
	return &cli.IntFlag{Name: "per-host", Usage: "how many requests run at once to one host or bucket", Value: 32, Sources: env(prefix, "per-host")}
}

func tempDirFlag(prefix string) cli.Flag {
	return &cli.StringFlag{Name: "temp-dir", Usage: "the `FOLDER` for temporary files; default: the system's", Sources: env(prefix, "temp-dir"), TakesFile: true}
}
