# PowerShell completion for aigw
# Load it with: aigw completion powershell | Out-String | Invoke-Expression

Register-ArgumentCompleter -Native -CommandName aigw -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $length = $cursorPosition - $commandAst.Extent.StartOffset
    $env:_AIGW_COMPLETE = 'powershell'
    $env:_AIGW_COMPLETE_LINE = $commandAst.ToString().PadRight($length).Substring(0, $length)
    try {
        aigw 2>$null | ForEach-Object {
            $value, $help = $_ -split "`t", 2
            if (-not $help) { $help = $value }
            $word = if ($value -match '\s') { "'" + $value.Replace("'", "''") + "'" } else { $value }
            [System.Management.Automation.CompletionResult]::new($word, $value, 'ParameterValue', $help)
        }
    } finally {
        Remove-Item Env:_AIGW_COMPLETE, Env:_AIGW_COMPLETE_LINE -ErrorAction SilentlyContinue
    }
}
