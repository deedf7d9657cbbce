# Plays scenarios.txt on real OTP and writes what happened to traces.txt. The language is described in scenarios.txt.
#
#   elixir run.exs [FILE]    writes FILE instead of traces.txt
#
# It needs Elixir 1.14 or later on OTP 24 or later, no packages and no network.

for file <- ~w(language processes steps), do: Code.require_file("#{file}.exs", __DIR__)

defmodule Runner do
  @moduledoc "Plays one scenario and gives its trace."

  def run(scenario) do
    Process.flag(:trap_exit, true)
    r = Recorder.start()
    for node <- [%{name: "me", options: %{}} | scenario.trees], node[:kind] in [nil, "client"], do: Client.start(node, r)
    s = %{r: r, trees: scenario.trees, kinds: kinds(scenario.trees)}
    steps = Enum.map(["start" | scenario.steps], &step(s, &1))
    for pid <- Recorder.living(r), do: Process.exit(pid, :kill)
    Enum.join(["scenario #{scenario.name}\n" | steps])
  end

  defp kinds(trees) do
    Enum.reduce(trees, %{}, fn t, all -> all |> Map.put(t.name, t.kind) |> Map.merge(kinds(t.children)) end)
  end

  defp step(s, text) do
    {words, unordered} =
      case String.split(text, " unordered") do
        [words, ""] -> {words, true}
        [words] -> {words, false}
      end

    results = for words <- String.split(words, "; "), result = Steps.run(s, words), do: "  = #{result}\n"
    quiet(s.r, Recorder.mark(s.r), 5)
    {events, downs} = Recorder.take(s.r)
    events = if unordered, do: sort_runs(events), else: events
    Enum.join(["> #{text}\n", Enum.map(events ++ downs, &"  #{&1}\n"), results])
  end

  # Each run of events that begin with the same word is sorted by itself.
  defp sort_runs(events) do
    events |> Enum.chunk_by(&hd(String.split(&1))) |> Enum.flat_map(&Enum.sort/1)
  end

  # Quiet is when all processes have answered, several times over, and nothing more has happened.
  defp quiet(_, _, 0), do: :ok

  defp quiet(r, mark, rounds) do
    for pid <- Recorder.living(r), server?(pid) do
      try do
        :sys.get_state(pid, :infinity)
      catch
        :exit, _ -> :gone
      end
    end

    Process.sleep(5)

    case Recorder.mark(r) do
      ^mark -> quiet(r, mark, rounds - 1)
      other -> quiet(r, other, 5)
    end
  end

  # Tasks and clients answer nothing.
  defp server?(pid) do
    case Process.info(pid, :dictionary) do
      {:dictionary, d} -> d[:"$initial_call"] != nil and not match?({Tasks, _, _}, d[:"$initial_call"])
      nil -> false
    end
  end
end

# Crashes are what this is about; the log would only repeat them.
:logger.set_primary_config(:level, :none)

target = List.first(System.argv()) || Path.join(__DIR__, "traces.txt")

traces =
  Path.join(__DIR__, "scenarios.txt")
  |> Scenarios.read()
  |> Task.async_stream(&Runner.run/1, max_concurrency: 4, timeout: :infinity)
  |> Enum.map(fn {:ok, trace} -> trace end)

File.write!(target, "# Made by run.exs; not to be edited.\n\n" <> Enum.join(traces, "\n"))
