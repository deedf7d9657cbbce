# The scenarios as they are read, and the words for reasons.

defmodule Scenarios do
  @moduledoc "Reads the file: a list of %{name, trees, steps}."

  @kinds ~w(supervisor dynamic tasks partition child client)

  def read(path) do
    path
    |> File.read!()
    |> String.split("\n")
    |> Enum.map(&String.trim_trailing/1)
    |> Enum.reject(&(&1 == "" or String.starts_with?(&1, "#")))
    |> Enum.reduce([], &line/2)
    |> Enum.map(fn s -> %{s | trees: nest(Enum.reverse(s.trees), 0), steps: Enum.reverse(s.steps)} end)
    |> Enum.reverse()
  end

  defp line("scenario " <> name, all), do: [%{name: name, trees: [], steps: []} | all]

  defp line(text, [s | rest]) do
    [kind | words] = String.split(text)

    if kind in @kinds do
      depth = div(String.length(text) - String.length(String.trim_leading(text)), 2)
      [%{s | trees: [{depth, node(kind, words)} | s.trees]} | rest]
    else
      [%{s | steps: [text | s.steps]} | rest]
    end
  end

  @doc "One declaration: a kind, a name, and options; a supervisor's strategy comes after its name."
  def node(kind, [name | words]) do
    {strategy, options} = Enum.split_with(words, &(not String.contains?(&1, "=")))
    options = Map.new(options, fn o -> List.to_tuple(String.split(o, "=", parts: 2)) end)
    %{kind: kind, name: name, strategy: List.first(strategy), options: options, children: []}
  end

  defp nest([], _), do: []

  defp nest([{depth, node} | rest], depth) do
    {inside, after_it} = Enum.split_while(rest, fn {d, _} -> d > depth end)
    [%{node | children: nest(inside, depth + 1)} | nest(after_it, depth)]
  end
end

defmodule Reason do
  @moduledoc "Reasons as words."

  def parse("shutdown:" <> value), do: {:shutdown, String.to_atom(value)}
  def parse(word), do: String.to_atom(word)

  def show({reason, {module, function, _}}) when is_atom(module) and is_atom(function), do: show(reason)
  def show({:shutdown, {:failed_to_start_child, id, reason}}), do: "failed_to_start_child #{id} #{show(reason)}"
  def show({:shutdown, value}), do: "shutdown:#{value}"
  def show({%RuntimeError{message: message}, _stack}), do: "raise #{message}"
  def show({reason, child}) when elem(child, 0) == :child, do: show(reason)
  def show({kind, _}) when kind in [:start_spec, :supervisor_data, :bad_combination], do: "refused"
  def show({:already_started, _pid}), do: "already_started"
  def show(reason) when is_atom(reason), do: Atom.to_string(reason)
end
